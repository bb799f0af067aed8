using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Nibble.Core.Memory;

namespace Nibble.Core.Kernels;

internal sealed unsafe partial class PackedKernel<TDot, TCodes, TNumber, TShape>
{
    // One token: codes are unpacked in registers, 8 rows a vector. A stretch of chunks is walked once for its upper 8 rows
    // and once for its lower, out of the first cache: both at once would be more code than the JIT compiler inlines.

    private void MultiplyVector(PackedMatrix w, Activation x, float* y, int fromTile, int toTile)
    {
        GrowingBuffer scratch = t_scratch!;
        scratch.Reserve((PackedMatrix.TileRows + w.Chunks * Groups * InputNumbers.Kinds) * sizeof(float));
        var sums = (float*)scratch.Pointer;
        float* inputs = sums + PackedMatrix.TileRows;
        ArrangeInputs(x, 1, inputs);
        for (int tile = fromTile; tile < toTile; tile++)
        {
            MultiplyVector(w.Tile(tile), w.Chunks, x.Codes, inputs, sums);
            Store(sums, PackedMatrix.TileRows, 1, w, y, tile);
        }
    }

    private void MultiplyVector(byte* tile, int chunks, sbyte* x, float* inputs, float* y)
    {
        new Span<float>(y, PackedMatrix.TileRows).Clear();
        for (int first = 0; first < chunks; first += StretchChunks)
        {
            int count = Math.Min(StretchChunks, chunks - first);
            AddStretch(tile, count, 0, x, inputs, y);
            AddStretch(tile, count, 1, x, inputs, y + 8);
            tile += UnitsBytes + count * ChunkBytes;
            x += count * Chunk;
            inputs += count * Groups * InputNumbers.Kinds;
        }
    }

    /// <summary>Adds 8 rows of a stretch.</summary>
    private void AddStretch(byte* stretch, int count, int half, sbyte* x, float* input, float* y)
    {
        Vector256<byte> table = _table;
        Vector256<float> sum = default, offsetSum = default;
        byte* chunk = stretch + UnitsBytes;
        for (int c = 0; c < count; c++)
        {
            if (half == 0) Prefetch(chunk + Ahead, ChunkBytes);
            byte* codes = chunk + CodesAt + half * 32;
            byte* numbers = chunk + half * 8 * TNumber.Size, offsets = chunk + OffsetsAt + half * 8 * OffsetSize;
            Vector256<int> dot = AddFour(Start(input + 1), codes, 0, x, table);
            if (Groups == 2)
            {
                AddSums(ref sum, ref offsetSum, dot, numbers, offsets, input);
                numbers += (TShape.Parts - 1) * PackedMatrix.TileRows * TNumber.Size;
                offsets += (TShape.Parts - 1) * PackedMatrix.TileRows * OffsetSize;
                input += InputNumbers.Kinds;
                dot = Start(input + 1);
            }
            AddSums(ref sum, ref offsetSum, AddFour(dot, codes, 4, x, table), numbers, offsets, input);
            chunk += ChunkBytes;
            x += Chunk;
            input += InputNumbers.Kinds;
        }
        Finish(sum, offsetSum, stretch + half * 8 * Half16.Size, y);
    }

    /// <summary>Adds 16 columns, from a step that is 0 or 4.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> AddFour(Vector256<int> sum, byte* codes, int step, sbyte* x, Vector256<byte> table)
    {
        x += 4 * step;
        sum = TDot.Add(sum, TCodes.Step(codes, 0, step, table), Broadcast(x));
        sum = TDot.Add(sum, TCodes.Step(codes, 0, step + 1, table), Broadcast(x + 4));
        sum = TDot.Add(sum, TCodes.Step(codes, 0, step + 2, table), Broadcast(x + 8));
        return TDot.Add(sum, TCodes.Step(codes, 0, step + 3, table), Broadcast(x + 12));
    }

    /// <summary>Adds a group's integers times its scales, and its offsets.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddSums(ref Vector256<float> y, ref Vector256<float> yOffset, Vector256<int> dot, byte* numbers, byte* offsets, float* input)
    {
        var scale = Vector256.Create(input[0]);
        if (TDot.IsNarrow && HasUnits)
            y = Vector256.FusedMultiplyAdd(Vector256.ConvertToSingle(TDot.Widen(dot, LoadPairs(numbers))), scale, y);
        else
        {
            Vector256<float> sum = Vector256.ConvertToSingle(TDot.IsNarrow ? TDot.Widen(dot, Vector256<short>.One) : dot);
            if (TShape.HasZeroPoints) sum -= UnitByte.Load(offsets) * Vector256.Create(input[2]);
            y = Vector256.FusedMultiplyAdd(TNumber.Size == 0 ? sum : sum * TNumber.Load(numbers), scale, y);
        }
        if (TShape.HasOffsets && !TShape.HasZeroPoints)
            yOffset = Vector256.FusedMultiplyAdd(LoadOffsets(offsets), Vector256.Create(input[2]), yOffset);
    }

    /// <summary>Adds the sums of a stretch to y, times the units if there are any.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Finish(Vector256<float> sum, Vector256<float> offsetSum, byte* units, float* y)
    {
        sum *= _scaleFactor;
        if (HasUnits)
        {
            sum *= Half16.LoadAny(units);
            if (TShape.HasOffsets) offsetSum *= Half16.LoadAny(units + PackedMatrix.TileRows * Half16.Size);
        }
        (Vector256.Load(y) + (TShape.HasOffsets && !TShape.HasZeroPoints ? sum + offsetSum : sum)).Store(y);
    }

    /// <summary>Asks for lines that the stream will reach later; past the end of the memory this asks for nothing.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Prefetch(byte* from, int bytes)
    {
        const int Line = 64;
        if (!Sse.IsSupported) return;
        for (int at = 0; at < bytes; at += Line) Sse.Prefetch0(from + at);
    }
}
