using System.Runtime.InteropServices;

namespace Nibble.Core.Formats;

/// <summary>
/// 32 codes of 4 bits under one 16-bit scale: weight = d * (code - 8). Byte j holds weight j in its low half and weight
/// j + 16 in its high half. Layout: ggml's block_q4_0.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct Q4_0 : IBlock<Q4_0>
{
    public Half D;
    public Bytes16 Q;

    public static string Name => "Q4_0";
    public static FormatFamily Family => FormatFamily.Linear;
    public static uint? GgufType => 2;
    public static int Size => 32;
    public static int Group => 32;
    public static ReadOnlySpan<sbyte> Levels => [-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7];
    public static bool HalfScales => true;
    public static IReadOnlyList<CodePlanes> CodePlanes => [new(2, 4, 16)];
    public static double ErrorBudget => 0.009;
    public static IReadOnlyList<BlockParameter> BlockParameters => [BlockParameter.OfHalf(0)];

    public static void Fit(ref Q4_0 block, ReadOnlySpan<float> weights, in FitOptions options) =>
        block.D = ScaleFit.Fit(weights, options, ScaleGrid.Bits4);

    public static void Put(ref Q4_0 block, int at, ReadOnlySpan<float> weights, Span<float> rounded)
    {
        float d = (float)block.D;
        int code = IntegerCodes.Round(weights[0], d, 0, -8, 7);
        BitPlanes.Set(block.Q, 4, at, code + 8);
        rounded[0] = d * code;
    }

    public static void Encode(ref Q4_0 block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        Span<sbyte> codes = stackalloc sbyte[32];
        block.D = ScaleFit.Encode(weights, options, ScaleGrid.Bits4, codes);
        IntegerCodes.Shift(codes, 8);
        BitPlanes.Pack(codes, 4, block.Q);
    }

    public static void Unpack(in Q4_0 block, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        BitPlanes.Unpack(block.Q, 4, codes);
        IntegerCodes.Shift(codes, -8);
        scales[0] = (float)block.D;
        offsets[0] = 0;
    }
}
