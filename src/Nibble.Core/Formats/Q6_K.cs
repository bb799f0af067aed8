using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Nibble.Core.Formats;

/// <summary>
/// 16 groups of 16 codes of 6 bits: weight = d * scale * (code - 32), with a signed scale of 8 bits a group. Each half of
/// the block has its low four bits in two planes of 64 codes and its high two in four of 32. Layout: ggml's block_q6_K.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct Q6_K : IBlock<Q6_K>
{
    public Bytes128 Q;
    public Bytes64 High;
    public GroupScales Scales;
    public Half D;

    [InlineArray(16)]
    public struct GroupScales { private sbyte _first; }

    public static string Name => "Q6_K";
    public static FormatFamily Family => FormatFamily.Linear;
    public static uint? GgufType => 14;
    public static int Size => 256;
    public static int Group => 16;
    public static bool HasUnits => true;
    public static ReadOnlySpan<sbyte> Levels =>
    [
        -32, -31, -30, -29, -28, -27, -26, -25, -24, -23, -22, -21, -20, -19, -18, -17, -16, -15, -14, -13, -12, -11, -10, -9, -8, -7,
        -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27,
        28, 29, 30, 31,
    ];
    public static IReadOnlyList<CodePlanes> CodePlanes => [new(0, 4, 64), new(128, 2, 32)];
    public static double ErrorBudget => 0.00034;
    public static IReadOnlyList<BlockParameter> BlockParameters => [.. Enumerable.Range(192, 16).Select(BlockParameter.OfSignedByte), BlockParameter.OfHalf(208)];

    public static void Fit(ref Q6_K block, ReadOnlySpan<float> weights, in FitOptions options) =>
        block.D = SuperScaleFit.Fit(weights, options, SuperScaleGrid.Q6_K, block.Scales);

    public static void Put(ref Q6_K block, int at, ReadOnlySpan<float> weights, Span<float> rounded)
    {
        float s = (float)block.D * block.Scales[at / 16];
        int code = IntegerCodes.Round(weights[0], s, 0, -32, 31);
        BitPlanes.Set(((Span<byte>)block.Q).Slice(at / 128 * 64, 64), 4, at % 128, code + 32);
        BitPlanes.Set(((Span<byte>)block.High).Slice(at / 128 * 32, 32), 2, at % 128, (code + 32) >> 4);
        rounded[0] = s * code;
    }

    public static void Encode(ref Q6_K block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        Span<sbyte> codes = stackalloc sbyte[256];
        Span<float> scales = stackalloc float[16], offsets = stackalloc float[16];
        Fit(ref block, weights, options);
        UnpackScales(in block, scales, offsets);
        IntegerCodes.RoundGroups(weights, scales, offsets, -32, 31, codes);
        IntegerCodes.Shift(codes, 32);
        for (int half = 0; half < 2; half++)
        {
            ReadOnlySpan<sbyte> part = codes.Slice(128 * half, 128);
            BitPlanes.Pack(part, 4, block.Q[(64 * half)..(64 * half + 64)]);
            BitPlanes.Pack(part, 2, block.High[(32 * half)..(32 * half + 32)], shift: 4);
        }
    }

    public static (float Scale, float Offset) Units(in Q6_K block) => ((float)block.D, 0);

    public static void Unpack(in Q6_K block, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        for (int half = 0; half < 2; half++)
        {
            Span<sbyte> part = codes.Slice(128 * half, 128);
            BitPlanes.Unpack(block.Q[(64 * half)..(64 * half + 64)], 4, part);
            BitPlanes.UnpackMore(block.High[(32 * half)..(32 * half + 32)], 2, part, shift: 4);
        }
        IntegerCodes.Shift(codes, -32);
        UnpackScales(in block, scales, offsets);
    }

    private static void UnpackScales(in Q6_K block, Span<float> scales, Span<float> offsets)
    {
        float d = (float)block.D;
        for (int g = 0; g < 16; g++) scales[g] = d * block.Scales[g];
        offsets.Clear();
    }
}
