using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Nibble.Core.Formats;

/// <summary>
/// 64 floats of 4 bits (E2M1), a scale of 8 bits (E4M3 without sign) for each 16: weight = scale / 2 * value[code], the
/// values doubled to whole numbers. A group's byte j holds its weight j in its low half and weight j + 8 in its high half.
/// Layout: ggml's block_nvfp4. A scale of the whole tensor, where there is one, is kept outside.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct NVFP4 : IBlock<NVFP4>
{
    public Bytes4 D;
    public Bytes32 Q;

    public static string Name => "NVFP4";
    public static FormatFamily Family => FormatFamily.Table;
    public static uint? GgufType => 40;
    public static int Size => 64;
    public static int Group => 16;
    public static ReadOnlySpan<sbyte> Levels => Fp4.Levels;
    public static bool Float8Scales => true;
    public static float ScaleFactor => 128; // half of 2^8, as values are doubled
    public static IReadOnlyList<CodePlanes> CodePlanes => [new(4, 4, 8)];
    public static ReadOnlySpan<byte> CodePlaces => Fp4.Places;
    public static double ErrorBudget => 0.008;

    private const int LargestScale = 0x7E;

    [SkipLocalsInit]
    public static void Fit(ref NVFP4 block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        Span<float> errorWeights = stackalloc float[64];
        BlockSearch.ErrorWeights(options.Importance, errorWeights);
        for (int g = 0; g < 4; g++)
        {
            ReadOnlySpan<float> group = weights.Slice(16 * g, 16);
            int reference = ReferenceScale(IntegerCodes.LargestMagnitude(group) / 6);
            if (options.Range is null) block.D[g] = BestScale(group, errorWeights.Slice(16 * g, 16), reference);
            else if (options.Range == DynamicRange.Reference) block.D[g] = (byte)reference;
            else block.D[g] = (byte)ReferenceScale(2 * BlockSearch.ScaleByRule(options.Slice(16 * g, 16), group, Fp4.Ranged));
        }
    }

    public static void Put(ref NVFP4 block, int at, ReadOnlySpan<float> weights, Span<float> rounded)
    {
        float scale = Scale(block.D[at / 16]);
        int code = Fp4.Nearest(weights[0], scale);
        int place = at / 16 * 8 + (at & 7), shift = (at & 8) == 0 ? 0 : 4;
        block.Q[place] = (byte)((block.Q[place] & (0xF0 >> shift)) | (code << shift));
        rounded[0] = scale * Fp4.Values[code];
    }

    public static void Encode(ref NVFP4 block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        Fit(ref block, weights, options);
        for (int g = 0; g < 4; g++)
            Fp4.Encode(weights.Slice(16 * g, 16), Scale(block.D[g]), block.Q[(8 * g)..(8 * g + 8)]);
    }

    public static void Unpack(in NVFP4 block, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        for (int g = 0; g < 4; g++)
        {
            Fp4.Unpack(block.Q[(8 * g)..(8 * g + 8)], codes.Slice(16 * g, 16));
            scales[g] = Scale(block.D[g]);
            offsets[g] = 0;
        }
    }

    /// <summary>The scales from 3 steps below the reference, which clip, to 6 above, where the largest weight becomes 4.</summary>
    private static byte BestScale(ReadOnlySpan<float> weights, ReadOnlySpan<float> errorWeights, int reference)
    {
        float least = float.PositiveInfinity;
        byte best = 0;
        for (int scale = Math.Max(reference - 3, 0); scale <= Math.Min(reference + 6, LargestScale); scale++)
        {
            float error = Fp4.Error(weights, errorWeights, Scale((byte)scale));
            if (error < least) (least, best) = (error, (byte)scale);
        }
        return best;
    }

    /// <summary>Half an E4M3 number, exponent bias 7: eight steps an octave, subnormal below 2^-6; 0x7F is no number.</summary>
    private static float Scale(byte bits)
    {
        int exponent = (bits >> 3) & 15, mantissa = bits & 7;
        if ((bits & 0x7F) == 0x7F) return 0;
        return exponent == 0
            ? mantissa * (1f / 1024)
            : BitConverter.UInt32BitsToSingle(((uint)(exponent + 127 - 8) << 23) | ((uint)mantissa << 20));
    }

    /// <summary>The nearest E4M3 number, the upper of two; from 256 on, 448.</summary>
    private static int ReferenceScale(float scale)
    {
        if (!(scale > 0)) return 0;
        if (scale < 1f / 64) return Math.Min((int)(scale * 512 + 0.5f), 7);
        uint bits = BitConverter.SingleToUInt32Bits(scale) + (1 << 19);
        int nearest = (int)(bits >> 20) - ((127 - 7) << 3);
        return nearest < 0x78 ? nearest : LargestScale;
    }
}
