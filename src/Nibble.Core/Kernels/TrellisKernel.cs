using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Nibble.Core.Formats;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;

namespace Nibble.Core.Kernels;

/// <summary>
/// The product of trellis-coded rows with a few tokens, from the bytes as they are stored: weights become numbers in registers
/// and are multiplied by the 8-bit codes of the input at once. Products are summed over a chunk in integers.
/// </summary>
/// <remarks>
/// A number is a sum of bytes less 126, so y = scale (sum over chunks of scale_x (sum of bytes code_x - 126 sum of code_x)).
/// </remarks>
public static unsafe partial class TrellisKernel
{
    [ThreadStatic] private static GrowingBuffer? t_scratch;

    /// <summary>By bits: the generated code for some tokens.</summary>
    private static readonly Func<int, TrellisRows>[] s_wide = [.. Enumerable.Range(0, 5).Select(bits => (Func<int, TrellisRows>)(tokens =>
        TrellisRows.For(bits, tokens) ?? throw new InvalidOperationException("code of other sizes could be made executable, this one not")))];

    /// <summary>The most tokens for which generated code decodes a row again for every few, and is faster so than tiles of decoded rows.</summary>
    private const int MaxTokens = 8;

    /// <summary>Whether a weight is for this kernel, when it meets so many tokens: without generated code one.</summary>
    public static bool Handles(Weight weight, int tokens) => weight.Format is TrellisFormat { Bits: int bits }
        && (TrellisRows.For(bits, 1) is not null ? tokens <= MaxTokens : Avx2.IsSupported && tokens == 1 && bits >= 2);

    /// <summary>Writes columns [from, to) of y = x Wᵀ, y being [tokens, rows].</summary>
    /// <param name="x">With codes.</param>
    public static void Multiply(Weight weight, Activation x, float* y, int from, int to)
    {
        int bits = ((TrellisFormat)weight.Format).Bits;
        if (TrellisRows.For(bits, 1) is null) MultiplyNarrow(weight, x, y, from, to);
        else MultiplyWide(weight, x, y, from, to, s_wide[bits]);
    }

    /// <summary>One token with AVX2.</summary>
    internal static void MultiplyNarrow(Weight weight, Activation x, float* y, int from, int to)
    {
        GrowingBuffer scratch = t_scratch ??= new GrowingBuffer();
        scratch.Reserve((nint)x.Chunks * (Activation.Chunk * 2 * sizeof(short) + sizeof(float)) + weight.RowBytes + sizeof(ulong));
        var doubled = (short*)scratch.Pointer;
        var centres = (float*)(doubled + 2 * x.Chunks * Activation.Chunk);
        for (int i = 0; i < x.Chunks * Activation.Chunk; i++) doubled[2 * i] = doubled[2 * i + 1] = x.Codes[i];
        for (int c = 0; c < x.Chunks; c++) centres[c] = TrellisCode.Largest * x.Scales[c] * (x.Sums[2 * c] + x.Sums[2 * c + 1]);

        var format = (TrellisFormat)weight.Format;
        int blockChunks = format.BlockSize / Activation.Chunk;
        for (int r = from; r < to; r++)
        {
            byte* block = weight.Data + r * weight.RowBytes;
            if (r == weight.Rows - 1) block = Copy(block, weight.RowBytes, (byte*)(centres + x.Chunks));
            float sum = 0;
            for (int chunk = 0; chunk < x.Chunks; chunk += blockChunks, block += format.BlockBytes)
                sum += format.ScaleOf(new ReadOnlySpan<byte>(block, format.ScaleBytes)) * Block(
                    block + format.ScaleBytes, format.Bits, blockChunks, doubled + 2 * chunk * Activation.Chunk, x.Scales + chunk, centres + chunk);
            y[r] = sum;
        }
    }

    /// <summary>The last row's bytes where something may be read behind them, which at the memory's end it may not.</summary>
    private static byte* Copy(byte* row, nint bytes, byte* to)
    {
        Buffer.MemoryCopy(row, to, bytes, bytes);
        return to;
    }

    /// <summary>The sum over a block's weights, but for its scale. Up to four bytes behind the block are read.</summary>
    /// <param name="chunks">Two a ring.</param>
    /// <param name="x">The codes of the input, each twice.</param>
    /// <param name="centres">126 times scale times sum of codes, of each chunk.</param>
    private static float Block(byte* ring, int bits, int chunks, short* x, float* scales, float* centres)
    {
        // Eight weights are two fours: each four's bits are shifted to the bottom of 64, then each weight's to that of its lane.
        Vector256<ulong> four = Vector256.Create(0ul, 0, (ulong)(4 * bits), (ulong)(4 * bits));
        Vector256<uint> one = Vector256.Create(0u, 1, 2, 3, 0, 1, 2, 3) * (uint)bits;
        Vector256<float> sum = default;
        float centre = 0;
        for (int chunk = 0; chunk < chunks; chunk += 2, ring += TrellisCode.Bytes(bits))
        {
            // The last eight weights go on at the ring's beginning.
            ulong last = (*(ulong*)(ring + 8 * bits - sizeof(ulong)) >> (64 - 8 * bits)) | ((ulong)*(ushort*)ring << (8 * bits));
            Vector256<int> first = default, second = Eight(last, four, one, x + 112);
            for (int e = 0; e < 4; e++) first += Eight(*(ulong*)(ring + e * bits), four, one, x + 16 * e);
            for (int e = 4; e < 7; e++) second += Eight(*(ulong*)(ring + e * bits), four, one, x + 16 * e);
            sum = Vector256.FusedMultiplyAdd(Vector256.ConvertToSingle(first), Vector256.Create(scales[chunk]), sum);
            sum = Vector256.FusedMultiplyAdd(Vector256.ConvertToSingle(second), Vector256.Create(scales[chunk + 1]), sum);
            centre += centres[chunk] + centres[chunk + 1];
            x += 4 * Activation.Chunk;
        }
        return Vector256.Sum(sum) - centre;
    }

    /// <summary>The products of eight weights and their inputs, a lane each: the two halves of a weight meet its input twice.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Eight(ulong bits, Vector256<ulong> four, Vector256<uint> one, short* x)
    {
        Vector256<uint> fours = Avx2.Shuffle(Avx2.ShiftRightLogicalVariable(Vector256.Create(bits), four).AsUInt32(), 0b10_10_00_00);
        Vector256<uint> states = Avx2.ShiftRightLogicalVariable(fours, one) & Vector256.Create((uint)(TrellisCode.States - 1));
        Vector256<byte> hash = TrellisCode.Hash(states).AsByte();
        return Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(hash, Vector256.Create((sbyte)1)), Vector256.Load(x));
    }
}
