using System.Runtime.InteropServices;

namespace Nibble.Core.Formats;

/// <summary>
/// 8 groups of 32 codes of 4 bits: weight = d * scale * code - dmin * minimum, with a scale and a minimum of 6 bits a
/// group (<see cref="SixBitScales"/>). 32 bytes hold two groups. Layout: ggml's block_q4_K.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct Q4_K : IBlock<Q4_K>
{
    public Half D;
    public Half DMin;
    public Bytes12 Scales;
    public Bytes128 Q;

    public static string Name => "Q4_K";
    public static FormatFamily Family => FormatFamily.Linear;
    public static uint? GgufType => 12;
    public static int Size => 256;
    public static int Group => 32;
    public static bool HasUnits => true;
    public static ReadOnlySpan<sbyte> Levels => [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    public static bool HasOffsets => true;
    public static IReadOnlyList<CodePlanes> CodePlanes => [new(16, 4, 32)];
    public static double ErrorBudget => 0.0057;
    public static IReadOnlyList<BlockParameter> BlockParameters => [.. SixBitScales.Parameters(at: 4), BlockParameter.OfHalf(0), BlockParameter.OfHalf(2)];

    public static void Fit(ref Q4_K block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        Span<byte> scales = stackalloc byte[8], minima = stackalloc byte[8];
        (block.D, block.DMin) = SuperAffineFit.Fit(weights, options, SuperAffineGrid.Q4_K, scales, minima);
        SixBitScales.Pack(scales, minima, block.Scales);
    }

    public static void Put(ref Q4_K block, int at, ReadOnlySpan<float> weights, Span<float> rounded)
    {
        (int scale, int minimum) = SixBitScales.Get(block.Scales, at / 32);
        float s = (float)block.D * scale, m = (float)block.DMin * minimum;
        int code = IntegerCodes.Round(weights[0], s, -m, 0, 15);
        BitPlanes.Set(((Span<byte>)block.Q).Slice(at / 64 * 32, 32), 4, at % 64, code);
        rounded[0] = s * code - m;
    }

    public static void Encode(ref Q4_K block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        Span<sbyte> codes = stackalloc sbyte[256];
        Span<float> scales = stackalloc float[8], offsets = stackalloc float[8];
        Fit(ref block, weights, options);
        UnpackScales(in block, scales, offsets);
        IntegerCodes.RoundGroups(weights, scales, offsets, 0, 15, codes);
        for (int i = 0; i < 4; i++) BitPlanes.Pack(codes.Slice(64 * i, 64), 4, block.Q[(32 * i)..(32 * i + 32)]);
    }

    public static (float Scale, float Offset) Units(in Q4_K block) => ((float)block.D, -(float)block.DMin);

    public static void Unpack(in Q4_K block, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        for (int i = 0; i < 4; i++) BitPlanes.Unpack(block.Q[(32 * i)..(32 * i + 32)], 4, codes[(64 * i)..]);
        UnpackScales(in block, scales, offsets);
    }

    private static void UnpackScales(in Q4_K block, Span<float> scales, Span<float> offsets)
    {
        float d = (float)block.D, dmin = (float)block.DMin;
        for (int g = 0; g < 8; g++)
        {
            (int scale, int minimum) = SixBitScales.Get(block.Scales, g);
            scales[g] = d * scale;
            offsets[g] = -(dmin * minimum);
        }
    }
}
