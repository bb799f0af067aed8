using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Nibble.Core.Formats;

/// <summary>32 signed bytes under one 16-bit scale: weight = d * q. Layout: ggml's block_q8_0.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct Q8_0 : IBlock<Q8_0>
{
    public Half D;
    public Codes Q;

    [InlineArray(32)]
    public struct Codes { private sbyte _first; }

    public static string Name => "Q8_0";
    public static FormatFamily Family => FormatFamily.Linear;
    public static uint? GgufType => 8;
    public static int Size => 32;
    public static int Group => 32;
    public static bool HalfScales => true;
    public static IReadOnlyList<CodePlanes> CodePlanes => [new(2, 8, 32)];
    public static double ErrorBudget => 4e-5;
    public static IReadOnlyList<BlockParameter> BlockParameters => [BlockParameter.OfHalf(0)];

    public static void Fit(ref Q8_0 block, ReadOnlySpan<float> weights, in FitOptions options) =>
        block.D = ScaleFit.Fit(weights, options, ScaleGrid.Bits8);

    public static void Put(ref Q8_0 block, int at, ReadOnlySpan<float> weights, Span<float> rounded)
    {
        float d = (float)block.D;
        block.Q[at] = (sbyte)IntegerCodes.Round(weights[0], d, 0, -127, 127);
        rounded[0] = d * block.Q[at];
    }

    public static void Encode(ref Q8_0 block, ReadOnlySpan<float> weights, in FitOptions options) =>
        block.D = ScaleFit.Encode(weights, options, ScaleGrid.Bits8, block.Q);

    public static void Decode(in Q8_0 block, Span<float> weights) => IntegerCodes.Expand(block.Q, (float)block.D, 0, weights);

    public static void Unpack(in Q8_0 block, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        ((ReadOnlySpan<sbyte>)block.Q).CopyTo(codes);
        scales[0] = (float)block.D;
        offsets[0] = 0;
    }
}
