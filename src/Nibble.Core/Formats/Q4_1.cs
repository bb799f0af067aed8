using System.Runtime.InteropServices;

namespace Nibble.Core.Formats;

/// <summary>
/// 32 codes of 4 bits under a 16-bit scale and offset: weight = d * code + m. The codes lie as in <see cref="Q4_0"/>.
/// Layout: ggml's block_q4_1.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct Q4_1 : IBlock<Q4_1>
{
    public Half D;
    public Half M;
    public Bytes16 Q;

    public static string Name => "Q4_1";
    public static FormatFamily Family => FormatFamily.Linear;
    public static uint? GgufType => 3;
    public static int Size => 32;
    public static int Group => 32;
    public static ReadOnlySpan<sbyte> Levels => [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    public static bool HalfScales => true;
    public static IReadOnlyList<CodePlanes> CodePlanes => [new(4, 4, 16)];
    public static bool HasOffsets => true;
    public static double ErrorBudget => 0.0075;
    public static IReadOnlyList<BlockParameter> BlockParameters => [BlockParameter.OfHalf(0), BlockParameter.OfHalf(2)];

    public static void Fit(ref Q4_1 block, ReadOnlySpan<float> weights, in FitOptions options) =>
        (block.D, block.M) = AffineFit.Fit(weights, options, AffineGrid.Bits4);

    public static void Put(ref Q4_1 block, int at, ReadOnlySpan<float> weights, Span<float> rounded)
    {
        float d = (float)block.D, m = (float)block.M;
        int code = IntegerCodes.Round(weights[0], d, m, 0, 15);
        BitPlanes.Set(block.Q, 4, at, code);
        rounded[0] = d * code + m;
    }

    public static void Encode(ref Q4_1 block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        Span<sbyte> codes = stackalloc sbyte[32];
        (block.D, block.M) = AffineFit.Encode(weights, options, AffineGrid.Bits4, codes);
        BitPlanes.Pack(codes, 4, block.Q);
    }

    public static void Unpack(in Q4_1 block, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        BitPlanes.Unpack(block.Q, 4, codes);
        scales[0] = (float)block.D;
        offsets[0] = (float)block.M;
    }
}
