using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>
/// 128 signs under one 16-bit scale: weight = d where the bit is set, -d where it is not; bit j % 8 of byte j / 8 is that
/// of weight j. Layout: ggml's block_q1_0.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct Q1_0 : IBlock<Q1_0>
{
    public Half D;
    public Bytes16 Q;

    public static string Name => "Q1_0";
    public static FormatFamily Family => FormatFamily.Linear;
    public static uint? GgufType => 41;
    public static int Size => 128;
    public static int Group => 128;
    public static ReadOnlySpan<sbyte> Levels => [-1, 1];
    public static bool HalfScales => true;
    public static bool HasRange => false;
    public static double ErrorBudget => 0.38;

    /// <summary>
    /// The mean magnitude, which is the least squares scale of signs. Importance is not used, as in ggml: the weights of
    /// models made for one bit have one magnitude.
    /// </summary>
    public static void Fit(ref Q1_0 block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        float sum = 0;
        foreach (float w in weights) sum += MathF.Abs(w);
        block.D = IntegerCodes.ToHalf(sum / weights.Length);
    }

    public static void Put(ref Q1_0 block, int at, ReadOnlySpan<float> weights, Span<float> rounded)
    {
        bool positive = weights[0] >= 0;
        int bit = 1 << (at & 7);
        block.Q[at >> 3] = (byte)(positive ? block.Q[at >> 3] | bit : block.Q[at >> 3] & ~bit);
        rounded[0] = positive ? (float)block.D : -(float)block.D;
    }

    public static void Encode(ref Q1_0 block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        Fit(ref block, weights, options);
        for (int i = 0; i < 16; i++)
        {
            Vector256<float> positive = Vector256.GreaterThanOrEqual(Vector256.Create(weights.Slice(8 * i, 8)), Vector256<float>.Zero);
            block.Q[i] = (byte)positive.ExtractMostSignificantBits();
        }
    }

    public static void Unpack(in Q1_0 block, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        for (int i = 0; i < 128; i++)
            codes[i] = (sbyte)((((block.Q[i >> 3] >> (i & 7)) & 1) << 1) - 1);
        scales[0] = (float)block.D;
        offsets[0] = 0;
    }
}
