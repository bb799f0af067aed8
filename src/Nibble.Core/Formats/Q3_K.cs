using System.Runtime.InteropServices;

namespace Nibble.Core.Formats;

/// <summary>
/// 16 groups of 16 codes of 3 bits: weight = d * scale * (code - 4), with a signed scale of 6 bits a group. The low two
/// bits lie as in <see cref="TQ2_0"/>, the third bits in eight planes of one bit. Layout: ggml's block_q3_K.
/// </summary>
/// <remarks>
/// Scale g is stored plus 32: its low four bits in half g / 8 of byte g % 8, its high two in bits 2 (g / 4) of byte
/// 8 + g % 4.
/// </remarks>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct Q3_K : IBlock<Q3_K>
{
    public Bytes32 High;
    public Bytes64 Q;
    public Bytes12 Scales;
    public Half D;

    public static string Name => "Q3_K";
    public static FormatFamily Family => FormatFamily.Linear;
    public static uint? GgufType => 11;
    public static int Size => 256;
    public static int Group => 16;
    public static bool HasUnits => true;
    public static ReadOnlySpan<sbyte> Levels => [-4, -3, -2, -1, 0, 1, 2, 3];
    public static IReadOnlyList<CodePlanes> CodePlanes => [new(32, 2, 32), new(0, 1, 32)];
    public static double ErrorBudget => 0.025;
    public static IReadOnlyList<BlockParameter> BlockParameters =>
        [.. Enumerable.Range(0, 16).Select(g => BlockParameter.OfBits(new(96 + g % 8, g / 8 * 4, 4), new(104 + g % 4, g / 4 * 2, 2), zero: 32)), BlockParameter.OfHalf(108)];

    public static void Fit(ref Q3_K block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        Span<sbyte> scales = stackalloc sbyte[16];
        block.D = SuperScaleFit.Fit(weights, options, SuperScaleGrid.Q3_K, scales);
        IntegerCodes.Shift(scales, 32);
        for (int i = 0; i < 8; i++) block.Scales[i] = (byte)((scales[i] & 15) | ((scales[i + 8] & 15) << 4));
        for (int i = 0; i < 4; i++)
        {
            block.Scales[8 + i] = (byte)((scales[i] >> 4) | ((scales[i + 4] >> 4) << 2)
                | ((scales[i + 8] >> 4) << 4) | ((scales[i + 12] >> 4) << 6));
        }
    }

    public static void Put(ref Q3_K block, int at, ReadOnlySpan<float> weights, Span<float> rounded)
    {
        float s = (float)block.D * Scale(in block, at / 16);
        int code = IntegerCodes.Round(weights[0], s, 0, -4, 3);
        BitPlanes.Set(((Span<byte>)block.Q).Slice(at / 128 * 32, 32), 2, at % 128, code + 4);
        BitPlanes.Set(block.High, 1, at, (code + 4) >> 2);
        rounded[0] = s * code;
    }

    public static void Encode(ref Q3_K block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        Span<sbyte> codes = stackalloc sbyte[256];
        Span<float> scales = stackalloc float[16], offsets = stackalloc float[16];
        Fit(ref block, weights, options);
        UnpackScales(in block, scales, offsets);
        IntegerCodes.RoundGroups(weights, scales, offsets, -4, 3, codes);
        IntegerCodes.Shift(codes, 4);
        BitPlanes.Pack(codes[..128], 2, block.Q[..32]);
        BitPlanes.Pack(codes[128..], 2, block.Q[32..]);
        BitPlanes.Pack(codes, 1, block.High, shift: 2);
    }

    public static (float Scale, float Offset) Units(in Q3_K block) => ((float)block.D, 0);

    public static void Unpack(in Q3_K block, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        BitPlanes.Unpack(block.Q[..32], 2, codes);
        BitPlanes.Unpack(block.Q[32..], 2, codes[128..]);
        BitPlanes.UnpackMore(block.High, 1, codes, shift: 2);
        IntegerCodes.Shift(codes, -4);
        UnpackScales(in block, scales, offsets);
    }

    private static int Scale(in Q3_K block, int group) =>
        (BitPlanes.Get(block.Scales[..8], 4, group) | (BitPlanes.Get(block.Scales[8..], 2, group) << 4)) - 32;

    private static void UnpackScales(in Q3_K block, Span<float> scales, Span<float> offsets)
    {
        float d = (float)block.D;
        for (int g = 0; g < 16; g++) scales[g] = d * Scale(in block, g);
        offsets.Clear();
    }
}
