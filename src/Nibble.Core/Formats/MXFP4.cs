using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Nibble.Core.Formats;

/// <summary>
/// 32 floats of 4 bits (E2M1) under a power of two (E8M0), as in the OCP microscaling formats: weight = 2^(e - 128) *
/// value[code], the values doubled to whole numbers. Byte j holds weight j in its low half and weight j + 16 in its high
/// half. Layout: ggml's block_mxfp4.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct MXFP4 : IBlock<MXFP4>
{
    public byte E;
    public Bytes16 Q;

    public static string Name => "MXFP4";
    public static FormatFamily Family => FormatFamily.Table;
    public static uint? GgufType => 39;
    public static int Size => 32;
    public static int Group => 32;
    public static ReadOnlySpan<sbyte> Levels => Fp4.Levels;
    public static bool PowerScales => true;
    public static IReadOnlyList<CodePlanes> CodePlanes => [new(1, 4, 16)];
    public static ReadOnlySpan<byte> CodePlaces => Fp4.Places;
    public static double ErrorBudget => 0.021; // that of a row of sevens, which lie midway between 6 and 8

    [SkipLocalsInit]
    public static void Fit(ref MXFP4 block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        int reference = ReferenceExponent(IntegerCodes.LargestMagnitude(weights));
        block.E = (byte)reference;
        if (options.Range == DynamicRange.Reference) return;
        if (BlockSearch.HasRule(options))
        {
            block.E = Exponent(BlockSearch.ScaleByRule(options, weights, Fp4.RangedByPowers));
            return;
        }
        Span<float> errorWeights = stackalloc float[32];
        BlockSearch.ErrorWeights(options.Importance, errorWeights);
        float least = float.PositiveInfinity;
        // One exponent less clips the largest weights and halves the steps of all others; one more clips nothing.
        for (int e = Math.Max(reference - 1, 0); e <= Math.Min(reference + 1, 254); e++)
        {
            float error = Fp4.Error(weights, errorWeights, Scale((byte)e));
            if (error < least) (least, block.E) = (error, (byte)e);
        }
    }

    public static void Put(ref MXFP4 block, int at, ReadOnlySpan<float> weights, Span<float> rounded)
    {
        float scale = Scale(block.E);
        int code = Fp4.Nearest(weights[0], scale);
        int shift = at < 16 ? 0 : 4;
        block.Q[at & 15] = (byte)((block.Q[at & 15] & (0xF0 >> shift)) | (code << shift));
        rounded[0] = scale * Fp4.Values[code];
    }

    public static void Encode(ref MXFP4 block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        Fit(ref block, weights, options);
        Fp4.Encode(weights, Scale(block.E), block.Q);
    }

    public static void Unpack(in MXFP4 block, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        Fp4.Unpack(block.Q, codes);
        scales[0] = Scale(block.E);
        offsets[0] = 0;
    }

    /// <summary>2^(e - 128): the two smallest are subnormal.</summary>
    private static float Scale(byte e) => BitConverter.UInt32BitsToSingle(e < 2 ? 0x0020_0000u << e : (uint)(e - 1) << 23);

    /// <summary>That of a power of two.</summary>
    private static byte Exponent(float scale) => scale > 0 ? (byte)Math.Clamp(MathF.ILogB(scale) + 128, 0, 254) : (byte)0;

    /// <summary>The exponent that puts the largest magnitude between 4 and 8, where 6 is the largest value.</summary>
    private static int ReferenceExponent(float largest) =>
        largest > 0 ? Math.Clamp((int)MathF.Floor(MathF.Log2(largest)) + 125, 0, 254) : 0;
}
