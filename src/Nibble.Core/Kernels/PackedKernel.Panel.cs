using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Nibble.Core.Memory;

namespace Nibble.Core.Kernels;

internal sealed unsafe partial class PackedKernel<TDot, TCodes, TNumber, TShape>
{
    // Many tokens: a stretch of the tile is unpacked to a byte a code, then met by four tokens at a time.

    /// <summary>Scratch memory of one worker: an unpacked stretch of a tile, the inputs' numbers, the sums of every token.</summary>
    private readonly struct Panel
    {
        public readonly byte* Codes;
        public readonly float* Scales;
        public readonly float* Offsets;
        public readonly float* Inputs;
        public readonly float* Sums;

        public Panel(GrowingBuffer scratch, int tokens, int chunks)
        {
            const int codes = PanelChunks * 512, numbers = PanelChunks * 2 * PackedMatrix.TileRows;
            int inputs = tokens * InputNumbers.Kinds * TShape.Parts * chunks;
            scratch.Reserve(codes + (2 * numbers + inputs + (nint)tokens * PackedMatrix.TileRows) * sizeof(float));
            Codes = scratch.Pointer;
            Scales = (float*)(Codes + codes);
            Offsets = Scales + numbers;
            Inputs = Offsets + numbers;
            Sums = Inputs + inputs;
        }
    }

    private void MultiplyTile(byte* tile, int chunks, Activation x, Panel panel)
    {
        new Span<float>(panel.Sums, ((x.Tokens + 3) & ~3) * PackedMatrix.TileRows).Clear();
        for (int first = 0; first < chunks; first += PanelChunks)
        {
            int count = Math.Min(PanelChunks, chunks - first);
            Unpack(tile + first / RunChunks * (nint)RunBytes, count, panel);
            for (int token = 0; token < x.Tokens; token += 4)
            {
                MultiplyPanel(panel, 0, first, count, x, token);
                MultiplyPanel(panel, 1, first, count, x, token);
            }
        }
    }

    /// <summary>Codes to [chunk, half, step, 32 bytes], scales and offsets to [chunk, part, 16].</summary>
    private void Unpack(byte* run, int count, Panel panel)
    {
        const int n = PackedMatrix.TileRows;
        byte* chunk = run;
        for (int c = 0; c < count; c++, chunk += ChunkBytes)
        {
            if (c % RunChunks == 0)
            {
                run = chunk;
                chunk += UnitsBytes;
            }
            UnpackCodes(chunk + CodesAt, 0, panel.Codes + c * 512, 32);
            UnpackCodes(chunk + CodesAt, 1, panel.Codes + c * 512 + 256, 32);
            UnpackNumbers(chunk, (float*)run, panel.Scales + c * TShape.Parts * n, panel.Offsets + c * TShape.Parts * n);
        }
    }

    /// <summary>The scales of a chunk, and its offsets if it has them, to [part, 16].</summary>
    private static void UnpackNumbers(byte* chunk, float* units, float* scales, float* offsets)
    {
        const int n = PackedMatrix.TileRows;
        for (int i = 0; i < TShape.Parts * n; i += 8)
        {
            UnpackNumbers(chunk + i * TNumber.Size, units + i % n, scales + i);
            if (TShape.HasOffsets) UnpackNumbers(chunk + NumbersBytes + i * TNumber.Size, units + n + i % n, offsets + i);
        }
    }

    private static void UnpackNumbers(byte* numbers, float* units, float* target) =>
        (HasUnits ? TNumber.Load(numbers) * Vector256.Load(units) : TNumber.Load(numbers)).Store(target);

    /// <summary>8 steps of 32 bytes, the given bytes apart.</summary>
    private void UnpackCodes(byte* codes, int half, byte* target, int apart)
    {
        Vector256<byte> table = _table;
        TCodes.Step(codes, half, 0, table).Store(target);
        TCodes.Step(codes, half, 1, table).Store(target + apart);
        TCodes.Step(codes, half, 2, table).Store(target + 2 * apart);
        TCodes.Step(codes, half, 3, table).Store(target + 3 * apart);
        TCodes.Step(codes, half, 4, table).Store(target + 4 * apart);
        TCodes.Step(codes, half, 5, table).Store(target + 5 * apart);
        TCodes.Step(codes, half, 6, table).Store(target + 6 * apart);
        TCodes.Step(codes, half, 7, table).Store(target + 7 * apart);
    }

    /// <summary>Adds 8 rows of the panel times four tokens to the sums.</summary>
    private void MultiplyPanel(Panel panel, int half, int firstChunk, int count, Activation activation, int token)
    {
        int chunks = activation.Chunks, last = activation.Tokens - 1;
        sbyte* x = activation.Codes + (nint)firstChunk * Chunk;
        nint row = (nint)chunks * Chunk;
        sbyte* x0 = x + token * row, x1 = x + Math.Min(token + 1, last) * row;
        sbyte* x2 = x + Math.Min(token + 2, last) * row, x3 = x + Math.Min(token + 3, last) * row;
        float* input = panel.Inputs + InputNumbers.Kinds * TShape.Parts * ((nint)token * chunks + 4 * firstChunk);
        float* y = panel.Sums + token * PackedMatrix.TileRows + half * 8;
        Vector256<float> y0 = Vector256.Load(y), y1 = Vector256.Load(y + 16), y2 = Vector256.Load(y + 32), y3 = Vector256.Load(y + 48);
        byte* w = panel.Codes + half * 256;
        float* scales = panel.Scales + half * 8;
        float* offsets = panel.Offsets + half * 8;
        for (int c = 0; c < count; c++)
        {
            for (int part = 0; part < TShape.Parts; part++)
            {
                Vector256<int> d0, d1, d2, d3;
                if (TDot.NarrowSteps(TCodes.MaxCode) >= (TShape.Parts == 1 ? 8 : 4))
                    DotNarrow(w, x0, x1, x2, x3, out d0, out d1, out d2, out d3);
                else
                    DotWide(w, x0, x1, x2, x3, out d0, out d1, out d2, out d3);
                Vector256<float> scale = Vector256.Load(scales);
                y0 = Add(y0, d0, scale, input);
                y1 = Add(y1, d1, scale, input + 1);
                y2 = Add(y2, d2, scale, input + 2);
                y3 = Add(y3, d3, scale, input + 3);
                if (TShape.HasOffsets)
                {
                    Vector256<float> offset = Vector256.Load(offsets);
                    y0 = Vector256.FusedMultiplyAdd(offset, Vector256.Create(input[8]), y0);
                    y1 = Vector256.FusedMultiplyAdd(offset, Vector256.Create(input[9]), y1);
                    y2 = Vector256.FusedMultiplyAdd(offset, Vector256.Create(input[10]), y2);
                    y3 = Vector256.FusedMultiplyAdd(offset, Vector256.Create(input[11]), y3);
                }
                w += 8 / TShape.Parts * 32;
                x0 += Chunk / TShape.Parts;
                x1 += Chunk / TShape.Parts;
                x2 += Chunk / TShape.Parts;
                x3 += Chunk / TShape.Parts;
                input += 4 * InputNumbers.Kinds;
                scales += PackedMatrix.TileRows;
                offsets += PackedMatrix.TileRows;
            }
            w += 256;
        }
        y0.Store(y);
        y1.Store(y + 16);
        y2.Store(y + 32);
        y3.Store(y + 48);
    }

    /// <summary>y + scale (xScale dot + bias), the input's numbers being four tokens apart.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Add(Vector256<float> y, Vector256<int> dot, Vector256<float> scale, float* input) =>
        Vector256.FusedMultiplyAdd(
            Vector256.FusedMultiplyAdd(Vector256.ConvertToSingle(dot), Vector256.Create(input[0]), Vector256.Create(input[4])), scale, y);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void DotNarrow(
        byte* w, sbyte* x0, sbyte* x1, sbyte* x2, sbyte* x3,
        out Vector256<int> d0, out Vector256<int> d1, out Vector256<int> d2, out Vector256<int> d3)
    {
        Vector256<short> a = Vector256<short>.Zero, b = a, c = a, d = a;
        for (int step = 0; step < 8 / TShape.Parts; step += 4)
        {
            Vector256<byte> w0 = Vector256.Load(w + step * 32);
            Vector256<byte> w1 = Vector256.Load(w + step * 32 + 32);
            int at = 4 * step;
            a = TDot.AddNarrow(TDot.AddNarrow(a, w0, Broadcast(x0 + at)), w1, Broadcast(x0 + at + 4));
            b = TDot.AddNarrow(TDot.AddNarrow(b, w0, Broadcast(x1 + at)), w1, Broadcast(x1 + at + 4));
            c = TDot.AddNarrow(TDot.AddNarrow(c, w0, Broadcast(x2 + at)), w1, Broadcast(x2 + at + 4));
            d = TDot.AddNarrow(TDot.AddNarrow(d, w0, Broadcast(x3 + at)), w1, Broadcast(x3 + at + 4));
            w0 = Vector256.Load(w + step * 32 + 64);
            w1 = Vector256.Load(w + step * 32 + 96);
            a = TDot.AddNarrow(TDot.AddNarrow(a, w0, Broadcast(x0 + at + 8)), w1, Broadcast(x0 + at + 12));
            b = TDot.AddNarrow(TDot.AddNarrow(b, w0, Broadcast(x1 + at + 8)), w1, Broadcast(x1 + at + 12));
            c = TDot.AddNarrow(TDot.AddNarrow(c, w0, Broadcast(x2 + at + 8)), w1, Broadcast(x2 + at + 12));
            d = TDot.AddNarrow(TDot.AddNarrow(d, w0, Broadcast(x3 + at + 8)), w1, Broadcast(x3 + at + 12));
        }
        d0 = TDot.Widen(Vector256<int>.Zero, a);
        d1 = TDot.Widen(Vector256<int>.Zero, b);
        d2 = TDot.Widen(Vector256<int>.Zero, c);
        d3 = TDot.Widen(Vector256<int>.Zero, d);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void DotWide(
        byte* w, sbyte* x0, sbyte* x1, sbyte* x2, sbyte* x3,
        out Vector256<int> d0, out Vector256<int> d1, out Vector256<int> d2, out Vector256<int> d3)
    {
        Vector256<int> a = Vector256<int>.Zero, b = a, c = a, d = a;
        for (int step = 0; step < 8 / TShape.Parts; step += 2)
        {
            Vector256<byte> w0 = Vector256.Load(w + step * 32);
            int at = 4 * step;
            if (TDot.NarrowSteps(TCodes.MaxCode) == 0)
            {
                a = TDot.Add(a, w0, Broadcast(x0 + at));
                b = TDot.Add(b, w0, Broadcast(x1 + at));
                c = TDot.Add(c, w0, Broadcast(x2 + at));
                d = TDot.Add(d, w0, Broadcast(x3 + at));
                w0 = Vector256.Load(w + step * 32 + 32);
                a = TDot.Add(a, w0, Broadcast(x0 + at + 4));
                b = TDot.Add(b, w0, Broadcast(x1 + at + 4));
                c = TDot.Add(c, w0, Broadcast(x2 + at + 4));
                d = TDot.Add(d, w0, Broadcast(x3 + at + 4));
            }
            else
            {
                Vector256<byte> w1 = Vector256.Load(w + step * 32 + 32);
                a = TDot.Widen(a, Two(w0, w1, x0 + at));
                b = TDot.Widen(b, Two(w0, w1, x1 + at));
                c = TDot.Widen(c, Two(w0, w1, x2 + at));
                d = TDot.Widen(d, Two(w0, w1, x3 + at));
            }
        }
        d0 = a;
        d1 = b;
        d2 = c;
        d3 = d;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<short> Two(Vector256<byte> w0, Vector256<byte> w1, sbyte* x) =>
        TDot.AddNarrow(TDot.AddNarrow(Vector256<short>.Zero, w0, Broadcast(x)), w1, Broadcast(x + 4));

    private static Vector256<byte> TableOf(ReadOnlySpan<sbyte> levels)
    {
        Span<byte> table = stackalloc byte[32];
        for (int i = 0; i < levels.Length; i++) table[i] = table[i + 16] = (byte)(levels[i] + 128);
        return Vector256.Create<byte>(table);
    }
}
