using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Nibble.Core.Kernels;

internal sealed unsafe partial class PackedKernel<TDot, TCodes, TNumber, TShape>
{
    // One token: codes are unpacked in registers, 8 rows a vector.

    private void MultiplyVector(byte* chunk, int chunks, sbyte* x, float* inputs, float* y)
    {
        Vector256<byte> table = _table;
        int runChunks = HasUnits ? 8 : chunks;
        Vector256<float> yLow = default, yHigh = default;
        for (int run = 0; run < chunks; run += runChunks)
        {
            byte* units = chunk;
            chunk += UnitsBytes;
            Vector256<float> low = default, high = default, lowOffset = default, highOffset = default;
            for (int c = run; c < run + runChunks; c++)
            {
                Prefetch(chunk);
                if (TShape.Parts == 1)
                {
                    AddPart(ref low, ref lowOffset, chunk, 0, -1, x, table, inputs);
                    AddPart(ref high, ref highOffset, chunk, 1, -1, x, table, inputs);
                }
                else
                {
                    AddPart(ref low, ref lowOffset, chunk, 0, 0, x, table, inputs);
                    AddPart(ref high, ref highOffset, chunk, 1, 0, x, table, inputs);
                    AddPart(ref low, ref lowOffset, chunk, 0, 1, x, table, inputs + InputNumbers.Kinds);
                    AddPart(ref high, ref highOffset, chunk, 1, 1, x, table, inputs + InputNumbers.Kinds);
                }
                chunk += ChunkBytes;
                x += Chunk;
                inputs += TShape.Parts * InputNumbers.Kinds;
            }
            yLow = Finish(yLow, low, lowOffset, (float*)units);
            yHigh = Finish(yHigh, high, highOffset, (float*)units + 8);
        }
        yLow.Store(y);
        yHigh.Store(y + 8);
    }

    /// <summary>Asks for the lines that the stream will reach some chunks later; reading past the end asks for nothing.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Prefetch(byte* chunk)
    {
        const int Ahead = 2048, Line = 64;
        if (!Sse.IsSupported) return;
        Sse.Prefetch0(chunk + Ahead);
        if (ChunkBytes > Line) Sse.Prefetch0(chunk + Ahead + Line);
        if (ChunkBytes > 2 * Line) Sse.Prefetch0(chunk + Ahead + 2 * Line);
        if (ChunkBytes > 3 * Line) Sse.Prefetch0(chunk + Ahead + 3 * Line);
        if (ChunkBytes > 4 * Line) Sse.Prefetch0(chunk + Ahead + 4 * Line);
        if (ChunkBytes > 5 * Line) Sse.Prefetch0(chunk + Ahead + 5 * Line);
        if (ChunkBytes > 6 * Line) Sse.Prefetch0(chunk + Ahead + 6 * Line);
        if (ChunkBytes > 7 * Line) Sse.Prefetch0(chunk + Ahead + 7 * Line);
        if (ChunkBytes > 8 * Line) Sse.Prefetch0(chunk + Ahead + 8 * Line);
    }

    /// <summary>Adds the sums of a run, times its units if it has them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Finish(Vector256<float> y, Vector256<float> sum, Vector256<float> offsetSum, float* units)
    {
        if (HasUnits) y = Vector256.FusedMultiplyAdd(sum, Vector256.Load(units), y);
        else y += sum;
        if (!TShape.HasOffsets) return y;
        return HasUnits ? Vector256.FusedMultiplyAdd(offsetSum, Vector256.Load(units + PackedMatrix.TileRows), y) : y + offsetSum;
    }

    /// <summary>Adds 8 rows of a part of a chunk (part -1 is the whole of it).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddPart(
        ref Vector256<float> y, ref Vector256<float> yOffset, byte* chunk, int half, int part, sbyte* x, Vector256<byte> table, float* input)
    {
        byte* codes = chunk + CodesAt;
        byte* numbers = chunk + (Math.Max(part, 0) * PackedMatrix.TileRows + half * 8) * TNumber.Size;
        Vector256<int> dot = part == -1 ? DotWhole(codes, half, x, table)
            : part == 0 ? DotFirst(codes, half, x, table) : DotSecond(codes, half, x, table);
        Vector256<float> sum = Vector256.FusedMultiplyAdd(
            Vector256.ConvertToSingle(dot), Vector256.Create(input[0]), Vector256.Create(input[1]));
        y = Vector256.FusedMultiplyAdd(sum, TNumber.Load(numbers), y);
        if (TShape.HasOffsets)
            yOffset = Vector256.FusedMultiplyAdd(TNumber.Load(numbers + NumbersBytes), Vector256.Create(input[2]), yOffset);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> DotWhole(byte* codes, int half, sbyte* x, Vector256<byte> table)
    {
        if (TDot.NarrowSteps(TCodes.MaxCode) < 8)
            return DotFirst(codes, half, x, table) + DotSecond(codes, half, x, table);
        Vector256<short> sum = Narrow(Vector256<short>.Zero, codes, half, 0, x, table);
        sum = Narrow(sum, codes, half, 1, x, table);
        sum = Narrow(sum, codes, half, 2, x, table);
        sum = Narrow(sum, codes, half, 3, x, table);
        sum = Narrow(sum, codes, half, 4, x, table);
        sum = Narrow(sum, codes, half, 5, x, table);
        sum = Narrow(sum, codes, half, 6, x, table);
        return TDot.Widen(Vector256<int>.Zero, Narrow(sum, codes, half, 7, x, table));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> DotFirst(byte* codes, int half, sbyte* x, Vector256<byte> table)
    {
        if (TDot.NarrowSteps(TCodes.MaxCode) == 0)
        {
            Vector256<int> wide = Wide(Vector256<int>.Zero, codes, half, 0, x, table);
            wide = Wide(wide, codes, half, 1, x, table);
            wide = Wide(wide, codes, half, 2, x, table);
            return Wide(wide, codes, half, 3, x, table);
        }
        Vector256<short> sum = Narrow(Narrow(Vector256<short>.Zero, codes, half, 0, x, table), codes, half, 1, x, table);
        if (TDot.NarrowSteps(TCodes.MaxCode) >= 4)
            return TDot.Widen(Vector256<int>.Zero, Narrow(Narrow(sum, codes, half, 2, x, table), codes, half, 3, x, table));
        Vector256<short> rest = Narrow(Narrow(Vector256<short>.Zero, codes, half, 2, x, table), codes, half, 3, x, table);
        return TDot.Widen(TDot.Widen(Vector256<int>.Zero, sum), rest);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> DotSecond(byte* codes, int half, sbyte* x, Vector256<byte> table)
    {
        if (TDot.NarrowSteps(TCodes.MaxCode) == 0)
        {
            Vector256<int> wide = Wide(Vector256<int>.Zero, codes, half, 4, x, table);
            wide = Wide(wide, codes, half, 5, x, table);
            wide = Wide(wide, codes, half, 6, x, table);
            return Wide(wide, codes, half, 7, x, table);
        }
        Vector256<short> sum = Narrow(Narrow(Vector256<short>.Zero, codes, half, 4, x, table), codes, half, 5, x, table);
        if (TDot.NarrowSteps(TCodes.MaxCode) >= 4)
            return TDot.Widen(Vector256<int>.Zero, Narrow(Narrow(sum, codes, half, 6, x, table), codes, half, 7, x, table));
        Vector256<short> rest = Narrow(Narrow(Vector256<short>.Zero, codes, half, 6, x, table), codes, half, 7, x, table);
        return TDot.Widen(TDot.Widen(Vector256<int>.Zero, sum), rest);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<short> Narrow(Vector256<short> sum, byte* codes, int half, int step, sbyte* x, Vector256<byte> table) =>
        TDot.AddNarrow(sum, TCodes.Step(codes, half, step, table), Broadcast(x + 4 * step));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Wide(Vector256<int> sum, byte* codes, int half, int step, sbyte* x, Vector256<byte> table) =>
        TDot.Add(sum, TCodes.Step(codes, half, step, table), Broadcast(x + 4 * step));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<sbyte> Broadcast(sbyte* x) => Vector256.Create(*(int*)x).AsSByte();
}
