using System.Runtime.InteropServices;

namespace Nibble.Core.Formats;

/// <summary>
/// 32 codes of 5 bits under a 16-bit scale and offset: weight = d * code + m. The codes lie as in <see cref="Q5_0"/>.
/// Layout: ggml's block_q5_1.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct Q5_1 : IBlock<Q5_1>
{
    public Half D;
    public Half M;
    public uint High;
    public Bytes16 Q;

    public static string Name => "Q5_1";
    public static FormatFamily Family => FormatFamily.Linear;
    public static uint? GgufType => 7;
    public static int Size => 32;
    public static int Group => 32;
    public static ReadOnlySpan<sbyte> Levels =>
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31];
    public static bool HalfScales => true;
    public static IReadOnlyList<CodePlanes> CodePlanes => [new(8, 4, 16), Formats.CodePlanes.Dense(4, 1)];
    public static bool HasOffsets => true;
    public static double ErrorBudget => 0.0018;
    public static IReadOnlyList<BlockParameter> BlockParameters => [BlockParameter.OfHalf(0), BlockParameter.OfHalf(2)];

    public static void Fit(ref Q5_1 block, ReadOnlySpan<float> weights, in FitOptions options) =>
        (block.D, block.M) = AffineFit.Fit(weights, options, AffineGrid.Bits5);

    public static void Put(ref Q5_1 block, int at, ReadOnlySpan<float> weights, Span<float> rounded)
    {
        float d = (float)block.D, m = (float)block.M;
        int code = IntegerCodes.Round(weights[0], d, m, 0, 31);
        BitPlanes.Set(block.Q, 4, at, code);
        FifthBits.Set(ref block.High, at, code);
        rounded[0] = d * code + m;
    }

    public static void Encode(ref Q5_1 block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        Span<sbyte> codes = stackalloc sbyte[32];
        (block.D, block.M) = AffineFit.Encode(weights, options, AffineGrid.Bits5, codes);
        BitPlanes.Pack(codes, 4, block.Q);
        block.High = FifthBits.Pack(codes);
    }

    public static void Unpack(in Q5_1 block, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        BitPlanes.Unpack(block.Q, 4, codes);
        FifthBits.UnpackMore(block.High, codes);
        scales[0] = (float)block.D;
        offsets[0] = (float)block.M;
    }
}
