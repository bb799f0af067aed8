using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>
/// Four weights a code: one of 256 points with eight magnitudes from 4 to 62; seven signs for two codes, an even number of
/// the eight negative. A group of 32 has a scale of 4 bits: weight = d * (2 l + 1) / 4 * coordinate. Layout: ggml's
/// block_iq3_xxs.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct IQ3_XXS : IBlock<IQ3_XXS>
{
    public Half D;
    public Bytes64 Points;
    public Words SignsAndScales;

    /// <summary>A word a group: four times seven signs, and the scale in bits 28 to 31.</summary>
    [InlineArray(8)]
    public struct Words { private uint _first; }

    public static string Name => "IQ3_XXS";
    public static FormatFamily Family => FormatFamily.Vector;
    public static bool HasRange => false;
    public static uint? GgufType => 18;
    public static int Size => 256;
    public static int Stride => 8;
    public static bool HasUnits => true;
    public static float ScaleFactor => 1f / 4;
    public static int Group => 32;
    public static ReadOnlySpan<sbyte> Levels => [-62, -52, -44, -36, -28, -20, -12, -4, 4, 12, 20, 28, 36, 44, 52, 62];
    public static double ErrorBudget => 0.036;

    private static readonly LatticeShape Shape = new(Lattices.IQ3_XXS, null, LatticeSigns.Even, 32, 16, 1f / 4, 26);

    public static void Fit(ref IQ3_XXS block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        block = default;
        if (LatticeFit.Fit(Shape, weights, options) is not { } fit) return;
        block.D = fit.D;
        for (int g = 0; g < 8; g++) block.SignsAndScales[g] = (uint)fit.Scales[g] << 28;
        for (int e = 0; e < 32; e++) Store(ref block, e, fit.Points[2 * e], fit.Points[2 * e + 1], fit.Signs[e]);
    }

    public static void Encode(ref IQ3_XXS block, ReadOnlySpan<float> weights, in FitOptions options) =>
        Fit(ref block, weights, options);

    public static void Put(ref IQ3_XXS block, int at, ReadOnlySpan<float> weights, Span<float> rounded)
    {
        float scale = Scale(in block, at / 32);
        Span<float> magnitudes = stackalloc float[8];
        int signs = EvenSigns.Split(weights, magnitudes), first = 0, second = 0;
        if (scale != 0)
        {
            (first, float firstError) = Lattices.IQ3_XXS.Nearest(magnitudes[..4], scale);
            (second, float secondError) = Lattices.IQ3_XXS.Nearest(magnitudes[4..], scale);
            if (EvenSigns.IsOdd(signs))
            {
                // One sign must change: in whichever half that costs less.
                (int firstFlipped, float firstCost) = Lattices.IQ3_XXS.Nearest(magnitudes[..4], scale, flip: true);
                (int secondFlipped, float secondCost) = Lattices.IQ3_XXS.Nearest(magnitudes[4..], scale, flip: true);
                if (firstCost - firstError < secondCost - secondError)
                    signs ^= 1 << Lattices.IQ3_XXS.CheapestFlip(first = firstFlipped, magnitudes[..4]);
                else
                    signs ^= 16 << Lattices.IQ3_XXS.CheapestFlip(second = secondFlipped, magnitudes[4..]);
            }
        }
        Store(ref block, at / 8, first, second, signs);
        EvenSigns.Expand(Codes(in block, at / 8), scale, rounded);
    }

    public static (float Scale, float Offset) Units(in IQ3_XXS block) => ((float)block.D * ScaleFactor, 0);

    public static void Unpack(in IQ3_XXS block, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        for (int g = 0; g < 8; g++)
        {
            var eights = Vector256.Create(Magnitudes(in block, 4 * g), Magnitudes(in block, 4 * g + 1), Magnitudes(in block, 4 * g + 2), Magnitudes(in block, 4 * g + 3));
            EvenSigns.Apply(eights, EvenSigns.FromSevens(block.SignsAndScales[g])).CopyTo(codes[(32 * g)..]);
            scales[g] = Scale(in block, g);
        }
        offsets.Clear();
    }

    private static void Store(ref IQ3_XXS block, int eight, int first, int second, int signs)
    {
        block.Points[2 * eight] = (byte)first;
        block.Points[2 * eight + 1] = (byte)second;
        int shift = 7 * (eight % 4);
        ref uint word = ref block.SignsAndScales[eight / 4];
        word = word & ~(127u << shift) | (uint)(signs & 127) << shift;
    }

    private static ulong Codes(in IQ3_XXS block, int eight)
    {
        uint signs = block.SignsAndScales[eight / 4] >> (7 * (eight % 4)) & 127;
        return EvenSigns.Apply(Magnitudes(in block, eight), EvenSigns.FromSeven(signs));
    }

    private static ulong Magnitudes(in IQ3_XXS block, int eight)
    {
        ulong[] points = Lattices.IQ3_XXS.Points;
        return points[block.Points[2 * eight]] | points[block.Points[2 * eight + 1]] << 32;
    }

    private static float Scale(in IQ3_XXS block, int group) => (float)block.D * (0.5f + (block.SignsAndScales[group] >> 28)) * 0.5f;
}
