using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>
/// Eight weights a code: one of 1024 points with coordinates 8, 25 and 43, and eight signs. A group of 16 has a scale of 4
/// bits: weight = d * (2 l + 1) / 8 * coordinate. Layout: ggml's block_iq2_s.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct IQ2_S : IBlock<IQ2_S>
{
    public Half D;
    /// <summary>The low 8 bits of the points.</summary>
    public Bytes32 Low;
    /// <summary>Bit i of a byte is set where weight i of its eight is negative.</summary>
    public Bytes32 Signs;
    /// <summary>The high 2 bits of four points a byte.</summary>
    public Bytes8 High;
    /// <summary>The scales of two groups a byte, the first low.</summary>
    public Bytes8 Scales;

    public static string Name => "IQ2_S";
    public static FormatFamily Family => FormatFamily.Vector;
    public static bool HasRange => false;
    public static uint? GgufType => 22;
    public static int Size => 256;
    public static int Stride => 8;
    public static bool HasUnits => true;
    public static float ScaleFactor => 1f / 8;
    public static int Group => 16;
    public static ReadOnlySpan<sbyte> Levels => [-43, -25, -8, 8, 25, 43];
    public static double ErrorBudget => 0.065;

    private static readonly LatticeShape Shape = new(Lattices.IQ2_S, null, LatticeSigns.Free, 16, 16, 1f / 8, 22);

    public static void Fit(ref IQ2_S block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        block = default;
        if (LatticeFit.Fit(Shape, weights, options) is not { } fit) return;
        block.D = fit.D;
        for (int g = 0; g < 16; g++) block.Scales[g / 2] |= (byte)(fit.Scales[g] << (4 * (g & 1)));
        for (int e = 0; e < 32; e++) Store(ref block, e, fit.Points[e], fit.Signs[e]);
    }

    public static void Encode(ref IQ2_S block, ReadOnlySpan<float> weights, in FitOptions options) =>
        Fit(ref block, weights, options);

    public static void Put(ref IQ2_S block, int at, ReadOnlySpan<float> weights, Span<float> rounded)
    {
        float scale = Scale(in block, at / 16);
        (int point, int signs) = Lattices.IQ2_S.Round(weights, scale, even: false);
        Store(ref block, at / 8, point, signs);
        EvenSigns.Expand(Codes(in block, at / 8), scale, rounded);
    }

    public static (float Scale, float Offset) Units(in IQ2_S block) => ((float)block.D * ScaleFactor, 0);

    public static void Unpack(in IQ2_S block, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        ulong[] points = Lattices.IQ2_S.Points;
        ReadOnlySpan<uint> signs = MemoryMarshal.Cast<byte, uint>((ReadOnlySpan<byte>)block.Signs);
        for (int four = 0; four < 8; four++)
        {
            int e = 4 * four, high = block.High[four];
            ulong a = points[block.Low[e] | (high & 3) << 8], b = points[block.Low[e + 1] | (high & 12) << 6];
            ulong c = points[block.Low[e + 2] | (high & 48) << 4], d = points[block.Low[e + 3] | (high & 192) << 2];
            EvenSigns.Apply(Vector256.Create(a, b, c, d), signs[four]).CopyTo(codes[(8 * e)..]);
        }
        for (int g = 0; g < 16; g++) scales[g] = Scale(in block, g);
        offsets.Clear();
    }

    private static void Store(ref IQ2_S block, int eight, int point, int signs)
    {
        int shift = 2 * (eight % 4);
        block.Low[eight] = (byte)point;
        block.High[eight / 4] = (byte)(block.High[eight / 4] & ~(3 << shift) | point >> 8 << shift);
        block.Signs[eight] = (byte)signs;
    }

    private static ulong Codes(in IQ2_S block, int eight)
    {
        int point = block.Low[eight] | (block.High[eight / 4] >> (2 * (eight % 4)) & 3) << 8;
        return EvenSigns.Apply(Lattices.IQ2_S.Points[point], block.Signs[eight]);
    }

    private static float Scale(in IQ2_S block, int group) =>
        (float)block.D * (0.5f + (block.Scales[group / 2] >> (4 * (group & 1)) & 15)) * 0.25f;
}
