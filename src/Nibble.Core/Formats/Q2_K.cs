using System.Runtime.InteropServices;

namespace Nibble.Core.Formats;

/// <summary>
/// 16 groups of 16 codes of 2 bits: weight = d * scale * code - dmin * minimum, with a scale (low half of a byte) and a
/// minimum (high half) of 4 bits a group. The codes lie as in <see cref="TQ2_0"/>. Layout: ggml's block_q2_K.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct Q2_K : IBlock<Q2_K>
{
    public Bytes16 Scales;
    public Bytes64 Q;
    public Half D;
    public Half DMin;

    public static string Name => "Q2_K";
    public static FormatFamily Family => FormatFamily.Linear;
    public static uint? GgufType => 10;
    public static int Size => 256;
    public static int Group => 16;
    public static bool HasUnits => true;
    public static ReadOnlySpan<sbyte> Levels => [0, 1, 2, 3];
    public static bool HasOffsets => true;
    public static IReadOnlyList<CodePlanes> CodePlanes => [new(16, 2, 32)];
    public static double ErrorBudget => 0.08;
    public static IReadOnlyList<BlockParameter> BlockParameters =>
        [.. Enumerable.Range(0, 32).Select(i => BlockParameter.OfBits(new(i / 2, i % 2 * 4, 4))), BlockParameter.OfHalf(80), BlockParameter.OfHalf(82)];

    public static void Fit(ref Q2_K block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        Span<byte> scales = stackalloc byte[16], minima = stackalloc byte[16];
        (block.D, block.DMin) = SuperAffineFit.Fit(weights, options, SuperAffineGrid.Q2_K, scales, minima);
        for (int g = 0; g < 16; g++) block.Scales[g] = (byte)(scales[g] | (minima[g] << 4));
    }

    public static void Put(ref Q2_K block, int at, ReadOnlySpan<float> weights, Span<float> rounded)
    {
        byte scale = block.Scales[at / 16];
        float s = (float)block.D * (scale & 15), m = (float)block.DMin * (scale >> 4);
        int code = IntegerCodes.Round(weights[0], s, -m, 0, 3);
        BitPlanes.Set(((Span<byte>)block.Q).Slice(at / 128 * 32, 32), 2, at % 128, code);
        rounded[0] = s * code - m;
    }

    public static void Encode(ref Q2_K block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        Span<sbyte> codes = stackalloc sbyte[256];
        Span<float> scales = stackalloc float[16], offsets = stackalloc float[16];
        Fit(ref block, weights, options);
        UnpackScales(in block, scales, offsets);
        IntegerCodes.RoundGroups(weights, scales, offsets, 0, 3, codes);
        BitPlanes.Pack(codes[..128], 2, block.Q[..32]);
        BitPlanes.Pack(codes[128..], 2, block.Q[32..]);
    }

    public static (float Scale, float Offset) Units(in Q2_K block) => ((float)block.D, -(float)block.DMin);

    public static void Unpack(in Q2_K block, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        BitPlanes.Unpack(block.Q[..32], 2, codes);
        BitPlanes.Unpack(block.Q[32..], 2, codes[128..]);
        UnpackScales(in block, scales, offsets);
    }

    private static void UnpackScales(in Q2_K block, Span<float> scales, Span<float> offsets)
    {
        float d = (float)block.D, dmin = (float)block.DMin;
        for (int g = 0; g < 16; g++)
        {
            scales[g] = d * (block.Scales[g] & 15);
            offsets[g] = -(dmin * (block.Scales[g] >> 4));
        }
    }
}
