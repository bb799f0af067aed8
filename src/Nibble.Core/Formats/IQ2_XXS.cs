using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>
/// Eight weights a code: one of 256 points with coordinates 8, 25 and 43, and seven signs, an even number negative. A group
/// of 32 has a scale of 4 bits: weight = d * (2 l + 1) / 8 * coordinate. Layout: ggml's block_iq2_xxs.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct IQ2_XXS : IBlock<IQ2_XXS>
{
    public Half D;
    public Words Q;

    /// <summary>Two words a group: four points of 8 bits; then four times seven signs, and the scale in bits 28 to 31.</summary>
    [InlineArray(16)]
    public struct Words { private uint _first; }

    public static string Name => "IQ2_XXS";
    public static FormatFamily Family => FormatFamily.Vector;
    public static bool HasRange => false;
    public static uint? GgufType => 16;
    public static int Size => 256;
    public static int Stride => 8;
    public static bool HasUnits => true;
    public static float ScaleFactor => 1f / 8;
    public static int Group => 32;
    public static ReadOnlySpan<sbyte> Levels => [-43, -25, -8, 8, 25, 43];
    public static double ErrorBudget => 0.12;

    private static readonly LatticeShape Shape = new(Lattices.IQ2_XXS, null, LatticeSigns.Even, 32, 16, 1f / 8, 22);

    public static void Fit(ref IQ2_XXS block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        block = default;
        if (LatticeFit.Fit(Shape, weights, options) is not { } fit) return;
        block.D = fit.D;
        for (int g = 0; g < 8; g++) block.Q[2 * g + 1] = (uint)fit.Scales[g] << 28;
        for (int e = 0; e < 32; e++) Store(ref block, e, fit.Points[e], fit.Signs[e]);
    }

    public static void Encode(ref IQ2_XXS block, ReadOnlySpan<float> weights, in FitOptions options) =>
        Fit(ref block, weights, options);

    public static void Put(ref IQ2_XXS block, int at, ReadOnlySpan<float> weights, Span<float> rounded)
    {
        float scale = Scale(in block, at / 32);
        (int point, int signs) = Lattices.IQ2_XXS.Round(weights, scale, even: true);
        Store(ref block, at / 8, point, signs);
        EvenSigns.Expand(Codes(in block, at / 8), scale, rounded);
    }

    public static (float Scale, float Offset) Units(in IQ2_XXS block) => ((float)block.D * ScaleFactor, 0);

    public static void Unpack(in IQ2_XXS block, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        ulong[] points = Lattices.IQ2_XXS.Points;
        for (int g = 0; g < 8; g++)
        {
            uint at = block.Q[2 * g], rest = block.Q[2 * g + 1];
            var eights = Vector256.Create(points[at & 255], points[at >> 8 & 255], points[at >> 16 & 255], points[at >> 24]);
            EvenSigns.Apply(eights, EvenSigns.FromSevens(rest)).CopyTo(codes[(32 * g)..]);
            scales[g] = Scale(in block, g);
        }
        offsets.Clear();
    }

    private static void Store(ref IQ2_XXS block, int eight, int point, int signs)
    {
        int group = eight / 4, part = eight % 4;
        ref uint points = ref block.Q[2 * group], rest = ref block.Q[2 * group + 1];
        points = points & ~(255u << (8 * part)) | (uint)point << (8 * part);
        rest = rest & ~(127u << (7 * part)) | (uint)(signs & 127) << (7 * part);
    }

    private static ulong Codes(in IQ2_XXS block, int eight)
    {
        int group = eight / 4, part = eight % 4;
        uint point = block.Q[2 * group] >> (8 * part) & 255, signs = block.Q[2 * group + 1] >> (7 * part) & 127;
        return EvenSigns.Apply(Lattices.IQ2_XXS.Points[point], EvenSigns.FromSeven(signs));
    }

    private static float Scale(in IQ2_XXS block, int group) => (float)block.D * (0.5f + (block.Q[2 * group + 1] >> 28)) * 0.25f;
}
