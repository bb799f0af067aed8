using System.Runtime.Intrinsics;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;

namespace Nibble.Core.Kernels;

internal sealed unsafe partial class PackedKernel<TDot, TCodes, TNumber, TShape>
{
    // One token, where 512 bits can be had.

    private void MultiplyWide(WideVector wide, PackedMatrix w, Activation x, float* y, int fromTile, int toTile)
    {
        GrowingBuffer scratch = t_scratch!;
        scratch.Reserve((PackedMatrix.TileRows + w.Chunks * TShape.Parts * InputNumbers.Kinds) * sizeof(float));
        Vector128<byte> table = _table.GetLower();
        var vector = new WideVector.Arguments { Chunks = w.Chunks, X = x.Codes, Table = (byte*)&table, Sums = (float*)scratch.Pointer };
        vector.Inputs = vector.Sums + PackedMatrix.TileRows;
        InputNumbers.Arrange(x, 1, TShape.Parts, _zero, vector.Inputs);
        for (int tile = fromTile; tile < toTile; tile++)
        {
            vector.Tile = w.Tile(tile);
            wide.Multiply(ref vector);
            Store(vector.Sums, PackedMatrix.TileRows, 1, w, y, tile);
        }
    }

    // Many tokens, where 512 bits can be had: two tiles are unpacked, then met by six tokens at a time.

    private void MultiplyWide(WidePanel wide, PackedMatrix w, Activation x, float* y, int fromTile, int toTile)
    {
        const int Tiles = WidePanel.Tiles, TileRows = PackedMatrix.TileRows;
        int tokens = (x.Tokens + WidePanel.Tokens - 1) / WidePanel.Tokens * WidePanel.Tokens;
        nint codes = Tiles * WidePanel.Chunks * 512, numbers = Tiles * WidePanel.Chunks * TShape.Parts * TileRows;
        nint inputs = (nint)tokens * w.Chunks * TShape.Parts * InputNumbers.Kinds, sums = (nint)tokens * Tiles * TileRows;
        GrowingBuffer scratch = t_scratch!;
        scratch.Reserve(codes + (2 * numbers + inputs + sums) * sizeof(float));
        var panel = new WidePanel.Arguments { Codes = scratch.Pointer, Numbers = (float*)(scratch.Pointer + codes), Stride = (nint)x.Chunks * Chunk };
        float* firstInput = panel.Numbers + 2 * numbers, firstSum = firstInput + inputs;
        InputNumbers.Arrange(x, WidePanel.Tokens, TShape.Parts, _zero, firstInput);
        byte** packed = stackalloc byte*[Tiles];
        for (int tile = fromTile; tile < toTile; tile += Tiles)
        {
            new Span<float>(firstSum, (int)sums).Clear();
            int tiles = Math.Min(Tiles, toTile - tile);
            for (int i = 0; i < tiles; i++) packed[i] = w.Tile(tile + i);
            for (int first = 0; first < w.Chunks; first += WidePanel.Chunks)
            {
                int count = Math.Min(WidePanel.Chunks, w.Chunks - first);
                for (int i = 0; i < tiles; i++) UnpackWide(packed[i] + first / RunChunks * (nint)RunBytes, count, panel.Codes, panel.Numbers, i);
                panel.Count = count;
                MultiplyWide(wide, panel, x, firstInput + first * TShape.Parts * InputNumbers.Kinds * WidePanel.Tokens, firstSum, first);
            }
            for (int i = 0; i < tiles; i++) Store(firstSum + i * TileRows, Tiles * TileRows, x.Tokens, w, y, tile + i);
        }
    }

    /// <summary>Adds a stretch of both tiles, for all tokens. What stands in for the last group's missing tokens is added to sums that nobody reads.</summary>
    private static void MultiplyWide(WidePanel wide, WidePanel.Arguments panel, Activation x, float* inputs, float* sums, int firstChunk)
    {
        nint rowInputs = (nint)x.Chunks * TShape.Parts * InputNumbers.Kinds;
        int whole = x.Tokens / WidePanel.Tokens * WidePanel.Tokens, rest = x.Tokens - whole;
        for (int token = 0; token < whole; token += WidePanel.Tokens) At(token, x.Codes + token * panel.Stride);
        if (rest == 0) return;
        nint bytes = (nint)panel.Count * Chunk;
        sbyte* last = stackalloc sbyte[WidePanel.Tokens * WidePanel.Chunks * Chunk];
        for (int i = 0; i < rest; i++)
            new ReadOnlySpan<sbyte>(x.Codes + (whole + i) * panel.Stride + firstChunk * Chunk, (int)bytes).CopyTo(new Span<sbyte>(last + i * bytes, (int)bytes));
        panel.Stride = bytes;
        At(whole, last - firstChunk * Chunk);

        void At(int token, sbyte* codes)
        {
            WidePanel.Arguments arguments = panel;
            arguments.X = codes + (nint)firstChunk * Chunk;
            arguments.Inputs = inputs + token * rowInputs;
            arguments.Sums = sums + token * WidePanel.Tiles * PackedMatrix.TileRows;
            wide.Multiply(ref arguments);
        }
    }

    /// <summary>Codes to [tile, chunk, step, 64 bytes], scales and offsets to [kind, tile, chunk, part, 16].</summary>
    private void UnpackWide(byte* run, int count, byte* codes, float* numbers, int tile)
    {
        const int n = PackedMatrix.TileRows, tileNumbers = WidePanel.Chunks * n;
        byte* chunk = run, target = codes + tile * WidePanel.Chunks * 512;
        float* scales = numbers + tile * tileNumbers * TShape.Parts, offsets = scales + WidePanel.Tiles * tileNumbers * TShape.Parts;
        for (int c = 0; c < count; c++, chunk += ChunkBytes, target += 512)
        {
            if (c % RunChunks == 0)
            {
                run = chunk;
                chunk += UnitsBytes;
            }
            UnpackCodes(chunk + CodesAt, 0, target, 64);
            UnpackCodes(chunk + CodesAt, 1, target + 32, 64);
            UnpackNumbers(chunk, (float*)run, scales + c * TShape.Parts * n, offsets + c * TShape.Parts * n);
        }
    }
}
