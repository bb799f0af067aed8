using System.Runtime.InteropServices;

namespace Nibble.Core.Formats;

/// <summary>
/// 32 codes of 5 bits under one 16-bit scale: weight = d * (code - 16). The low four bits lie as in <see cref="Q4_0"/>;
/// bit i of <see cref="High"/> is the fifth bit of code i. Layout: ggml's block_q5_0.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct Q5_0 : IBlock<Q5_0>
{
    public Half D;
    public uint High;
    public Bytes16 Q;

    public static string Name => "Q5_0";
    public static FormatFamily Family => FormatFamily.Linear;
    public static uint? GgufType => 6;
    public static int Size => 32;
    public static int Group => 32;
    public static ReadOnlySpan<sbyte> Levels =>
        [-16, -15, -14, -13, -12, -11, -10, -9, -8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    public static bool HalfScales => true;
    public static IReadOnlyList<CodePlanes> CodePlanes => [new(6, 4, 16), Formats.CodePlanes.Dense(2, 1)];
    public static double ErrorBudget => 0.0023;
    public static IReadOnlyList<BlockParameter> BlockParameters => [BlockParameter.OfHalf(0)];

    public static void Fit(ref Q5_0 block, ReadOnlySpan<float> weights, in FitOptions options) =>
        block.D = ScaleFit.Fit(weights, options, ScaleGrid.Bits5);

    public static void Put(ref Q5_0 block, int at, ReadOnlySpan<float> weights, Span<float> rounded)
    {
        float d = (float)block.D;
        int code = IntegerCodes.Round(weights[0], d, 0, -16, 15);
        BitPlanes.Set(block.Q, 4, at, code + 16);
        FifthBits.Set(ref block.High, at, code + 16);
        rounded[0] = d * code;
    }

    public static void Encode(ref Q5_0 block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        Span<sbyte> codes = stackalloc sbyte[32];
        block.D = ScaleFit.Encode(weights, options, ScaleGrid.Bits5, codes);
        IntegerCodes.Shift(codes, 16);
        BitPlanes.Pack(codes, 4, block.Q);
        block.High = FifthBits.Pack(codes);
    }

    public static void Unpack(in Q5_0 block, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        BitPlanes.Unpack(block.Q, 4, codes);
        FifthBits.UnpackMore(block.High, codes);
        IntegerCodes.Shift(codes, -16);
        scales[0] = (float)block.D;
        offsets[0] = 0;
    }
}
