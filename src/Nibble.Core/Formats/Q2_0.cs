using System.Runtime.InteropServices;

namespace Nibble.Core.Formats;

/// <summary>
/// 64 codes of 2 bits under one 16-bit scale: weight = d * (code - 1), so -d, 0, d or 2d. Byte j holds weights 4j to
/// 4j + 3, from its lowest bits up. Layout: ggml's block_q2_0.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct Q2_0 : IBlock<Q2_0>
{
    public Half D;
    public Bytes16 Q;

    public static string Name => "Q2_0";
    public static FormatFamily Family => FormatFamily.Linear;
    public static uint? GgufType => 42;
    public static int Size => 64;
    public static int Group => 64;
    public static ReadOnlySpan<sbyte> Levels => [-1, 0, 1, 2];
    public static bool HalfScales => true;
    public static double ErrorBudget => 0.55;

    public static void Fit(ref Q2_0 block, ReadOnlySpan<float> weights, in FitOptions options) =>
        block.D = ScaleFit.Fit(weights, options, ScaleGrid.Bits2);

    public static void Put(ref Q2_0 block, int at, ReadOnlySpan<float> weights, Span<float> rounded)
    {
        float d = (float)block.D;
        int code = IntegerCodes.Round(weights[0], d, 0, -1, 2), shift = 2 * (at & 3);
        block.Q[at >> 2] = (byte)((block.Q[at >> 2] & ~(3 << shift)) | ((code + 1) << shift));
        rounded[0] = d * code;
    }

    public static void Encode(ref Q2_0 block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        Span<sbyte> codes = stackalloc sbyte[64];
        block.D = ScaleFit.Encode(weights, options, ScaleGrid.Bits2, codes);
        for (int i = 0; i < 16; i++)
        {
            block.Q[i] = (byte)((codes[4 * i] + 1) | ((codes[4 * i + 1] + 1) << 2)
                | ((codes[4 * i + 2] + 1) << 4) | ((codes[4 * i + 3] + 1) << 6));
        }
    }

    public static void Unpack(in Q2_0 block, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        for (int i = 0; i < 16; i++)
            for (int k = 0; k < 4; k++)
                codes[4 * i + k] = (sbyte)(((block.Q[i] >> (2 * k)) & 3) - 1);
        scales[0] = (float)block.D;
        offsets[0] = 0;
    }
}
