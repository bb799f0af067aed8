using System.Runtime.InteropServices;

namespace Nibble.Core.Formats;

/// <summary>
/// 8 groups of 32 codes of 5 bits: weight = d * scale * code - dmin * minimum. As <see cref="Q4_K"/>, with the fifth bits
/// in eight planes of one bit. Layout: ggml's block_q5_K.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct Q5_K : IBlock<Q5_K>
{
    public Half D;
    public Half DMin;
    public Bytes12 Scales;
    public Bytes32 High;
    public Bytes128 Q;

    public static string Name => "Q5_K";
    public static FormatFamily Family => FormatFamily.Linear;
    public static uint? GgufType => 13;
    public static int Size => 256;
    public static int Group => 32;
    public static bool HasUnits => true;
    public static ReadOnlySpan<sbyte> Levels => Q5_1.Levels;
    public static bool HasOffsets => true;
    public static IReadOnlyList<CodePlanes> CodePlanes => [new(48, 4, 32), new(16, 1, 32)];
    public static double ErrorBudget => 0.0014;
    public static IReadOnlyList<BlockParameter> BlockParameters => [.. SixBitScales.Parameters(at: 4), BlockParameter.OfHalf(0), BlockParameter.OfHalf(2)];

    public static void Fit(ref Q5_K block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        Span<byte> scales = stackalloc byte[8], minima = stackalloc byte[8];
        (block.D, block.DMin) = SuperAffineFit.Fit(weights, options, SuperAffineGrid.Q5_K, scales, minima);
        SixBitScales.Pack(scales, minima, block.Scales);
    }

    public static void Put(ref Q5_K block, int at, ReadOnlySpan<float> weights, Span<float> rounded)
    {
        (int scale, int minimum) = SixBitScales.Get(block.Scales, at / 32);
        float s = (float)block.D * scale, m = (float)block.DMin * minimum;
        int code = IntegerCodes.Round(weights[0], s, -m, 0, 31);
        BitPlanes.Set(((Span<byte>)block.Q).Slice(at / 64 * 32, 32), 4, at % 64, code);
        BitPlanes.Set(block.High, 1, at, code >> 4);
        rounded[0] = s * code - m;
    }

    public static void Encode(ref Q5_K block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        Span<sbyte> codes = stackalloc sbyte[256];
        Span<float> scales = stackalloc float[8], offsets = stackalloc float[8];
        Fit(ref block, weights, options);
        UnpackScales(in block, scales, offsets);
        IntegerCodes.RoundGroups(weights, scales, offsets, 0, 31, codes);
        for (int i = 0; i < 4; i++) BitPlanes.Pack(codes.Slice(64 * i, 64), 4, block.Q[(32 * i)..(32 * i + 32)]);
        BitPlanes.Pack(codes, 1, block.High, shift: 4);
    }

    public static (float Scale, float Offset) Units(in Q5_K block) => ((float)block.D, -(float)block.DMin);

    public static void Unpack(in Q5_K block, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        for (int i = 0; i < 4; i++) BitPlanes.Unpack(block.Q[(32 * i)..(32 * i + 32)], 4, codes[(64 * i)..]);
        BitPlanes.UnpackMore(block.High, 1, codes, shift: 4);
        UnpackScales(in block, scales, offsets);
    }

    private static void UnpackScales(in Q5_K block, Span<float> scales, Span<float> offsets)
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
