using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Nibble.Core.Kernels.Generated;

namespace Nibble.Core.Kernels;

internal sealed unsafe partial class PackedKernel<TDot, TCodes, TNumber, TShape>
{
    // Very many tokens, where the processor multiplies matrices of bfloat16: tiles become pairs of these.

    public override void UnpackPairs(byte* run, int chunks, uint* pairs)
    {
        const int n = PackedMatrix.TileRows, steps = Chunk / 4, half = 8;
        byte* codes = stackalloc byte[steps * 32], chunk = run;
        float* scales = stackalloc float[2 * n], offsets = stackalloc float[2 * n], units = stackalloc float[2 * n];
        new Span<float>(offsets, 2 * n).Clear();
        for (int c = 0; c < chunks; c++, chunk += ChunkBytes)
        {
            if (c % RunChunks == 0)
            {
                LoadUnits(chunk, units);
                chunk += UnitsBytes;
            }
            UnpackNumbers(chunk, units, scales, offsets);
            for (int rows = 0; rows < n; rows += half)
            {
                UnpackCodes(chunk + CodesAt, rows / half, codes, 32);
                for (int step = 0; step < steps; step++)
                {
                    int numbers = step * TShape.Parts / steps * n + rows;
                    PutPairs(codes + step * 32, Vector256.Load(scales + numbers), Vector256.Load(offsets + numbers), pairs + (c * steps + step) * 2 * PairPanel.Rows + rows);
                }
            }
        }
    }

    /// <summary>Four columns of 8 rows: lane r is row r, byte k of it column k.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void PutPairs(byte* codes, Vector256<float> scale, Vector256<float> offset, uint* pairs)
    {
        Vector256<int> levels = (Vector256.Load((sbyte*)codes) + Vector256.Create((sbyte)_zero)).AsInt32();
        Pair(Weight(levels << 24, scale, offset), Weight(levels << 16, scale, offset)).Store(pairs);
        Pair(Weight(levels << 8, scale, offset), Weight(levels, scale, offset)).Store(pairs + PairPanel.Rows);
    }

    /// <summary>Of the levels in the top bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Weight(Vector256<int> levels, Vector256<float> scale, Vector256<float> offset)
    {
        Vector256<float> level = Vector256.ConvertToSingle(levels >> 24);
        return TShape.HasOffsets ? Vector256.FusedMultiplyAdd(level, scale, offset) : level * scale;
    }

    /// <summary>The nearest bfloat16 of two floats, of two that are as near the one away from zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> Pair(Vector256<float> even, Vector256<float> odd)
    {
        var half = Vector256.Create(0x8000u);
        return (even.AsUInt32() + half) >>> 16 | (odd.AsUInt32() + half) & Vector256.Create(0xFFFF0000u);
    }
}
