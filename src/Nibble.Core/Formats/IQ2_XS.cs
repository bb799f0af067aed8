using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>
/// Eight weights a code: one of 512 points with coordinates 8, 25 and 43, and seven signs, an even number negative. A group
/// of 16 has a scale of 4 bits: weight = d * (2 l + 1) / 8 * coordinate. Layout: ggml's block_iq2_xs.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct IQ2_XS : IBlock<IQ2_XS>
{
    public Half D;
    public Words Q;
    /// <summary>The scales of two groups a byte, the first low.</summary>
    public Bytes8 Scales;

    /// <summary>A point in the low 9 bits and seven signs above.</summary>
    [InlineArray(32)]
    public struct Words { private ushort _first; }

    public static string Name => "IQ2_XS";
    public static FormatFamily Family => FormatFamily.Vector;
    public static bool HasRange => false;
    public static uint? GgufType => 17;
    public static int Size => 256;
    public static int Stride => 8;
    public static bool HasUnits => true;
    public static float ScaleFactor => 1f / 8;
    public static int Group => 16;
    public static ReadOnlySpan<sbyte> Levels => [-43, -25, -8, 8, 25, 43];
    public static double ErrorBudget => 0.09;

    private static readonly LatticeShape Shape = new(Lattices.IQ2_XS, null, LatticeSigns.Even, 16, 16, 1f / 8, 22);

    public static void Fit(ref IQ2_XS block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        block = default;
        if (LatticeFit.Fit(Shape, weights, options) is not { } fit) return;
        block.D = fit.D;
        for (int g = 0; g < 16; g++) block.Scales[g / 2] |= (byte)(fit.Scales[g] << (4 * (g & 1)));
        for (int e = 0; e < 32; e++) Store(ref block, e, fit.Points[e], fit.Signs[e]);
    }

    public static void Encode(ref IQ2_XS block, ReadOnlySpan<float> weights, in FitOptions options) =>
        Fit(ref block, weights, options);

    public static void Put(ref IQ2_XS block, int at, ReadOnlySpan<float> weights, Span<float> rounded)
    {
        float scale = Scale(in block, at / 16);
        (int point, int signs) = Lattices.IQ2_XS.Round(weights, scale, even: true);
        Store(ref block, at / 8, point, signs);
        EvenSigns.Expand(Codes(in block, at / 8), scale, rounded);
    }

    public static (float Scale, float Offset) Units(in IQ2_XS block) => ((float)block.D * ScaleFactor, 0);

    public static void Unpack(in IQ2_XS block, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        ulong[] points = Lattices.IQ2_XS.Points;
        for (int e = 0; e < 32; e += 4)
        {
            uint a = block.Q[e], b = block.Q[e + 1], c = block.Q[e + 2], d = block.Q[e + 3];
            uint signs = EvenSigns.FromSeven(a >> 9 | b >> 9 << 8 | c >> 9 << 16 | d >> 9 << 24);
            EvenSigns.Apply(Vector256.Create(points[a & 511], points[b & 511], points[c & 511], points[d & 511]), signs).CopyTo(codes[(8 * e)..]);
        }
        for (int g = 0; g < 16; g++) scales[g] = Scale(in block, g);
        offsets.Clear();
    }

    private static void Store(ref IQ2_XS block, int eight, int point, int signs) =>
        block.Q[eight] = (ushort)(point | (signs & 127) << 9);

    private static ulong Codes(in IQ2_XS block, int eight)
    {
        uint code = block.Q[eight];
        return EvenSigns.Apply(Lattices.IQ2_XS.Points[code & 511], EvenSigns.FromSeven(code >> 9));
    }

    private static float Scale(in IQ2_XS block, int group) =>
        (float)block.D * (0.5f + (block.Scales[group / 2] >> (4 * (group & 1)) & 15)) * 0.25f;
}
