using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>
/// Four weights a code: one of 512 points with odd coordinates from 1 to 15, and four signs. A group of 32 has a scale of 4
/// bits: weight = d * (2 l + 1) * coordinate. Layout: ggml's block_iq3_s.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct IQ3_S : IBlock<IQ3_S>
{
    public Half D;
    /// <summary>The low 8 bits of the points.</summary>
    public Bytes64 Low;
    /// <summary>The highest bit of eight points a byte.</summary>
    public Bytes8 High;
    /// <summary>Bit i of a byte is set where weight i of its eight is negative.</summary>
    public Bytes32 Signs;
    /// <summary>The scales of two groups a byte, the first low.</summary>
    public Bytes4 Scales;

    public static string Name => "IQ3_S";
    public static FormatFamily Family => FormatFamily.Vector;
    public static bool HasRange => false;
    public static uint? GgufType => 21;
    public static int Size => 256;
    public static int Stride => 4;
    public static bool HasUnits => true;
    public static int Group => 32;
    public static ReadOnlySpan<sbyte> Levels => [-15, -13, -11, -9, -7, -5, -3, -1, 1, 3, 5, 7, 9, 11, 13, 15];
    public static double ErrorBudget => 0.02;

    private static readonly LatticeShape Shape = new(Lattices.IQ3_S, null, LatticeSigns.Free, 32, 16, 1, 6.5f);

    public static void Fit(ref IQ3_S block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        block = default;
        if (LatticeFit.Fit(Shape, weights, options) is not { } fit) return;
        block.D = fit.D;
        for (int g = 0; g < 8; g++) block.Scales[g / 2] |= (byte)(fit.Scales[g] << (4 * (g & 1)));
        for (int f = 0; f < 64; f++) Store(ref block, f, fit.Points[f], fit.Signs[f / 2] >> (4 * (f & 1)));
    }

    public static void Encode(ref IQ3_S block, ReadOnlySpan<float> weights, in FitOptions options) =>
        Fit(ref block, weights, options);

    public static void Put(ref IQ3_S block, int at, ReadOnlySpan<float> weights, Span<float> rounded)
    {
        float scale = Scale(in block, at / 32);
        Span<float> magnitudes = stackalloc float[4];
        int signs = EvenSigns.Split(weights, magnitudes);
        int point = scale == 0 ? 0 : Lattices.IQ3_S.Nearest(magnitudes, scale).Point;
        Store(ref block, at / 4, point, signs);
        for (int i = 0; i < 4; i++)
            rounded[i] = scale * ((signs >> i & 1) != 0 ? -1 : 1) * Lattices.IQ3_S.Coordinate(point, i);
    }

    public static (float Scale, float Offset) Units(in IQ3_S block) => ((float)block.D, 0);

    public static void Unpack(in IQ3_S block, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        ReadOnlySpan<uint> signs = MemoryMarshal.Cast<byte, uint>((ReadOnlySpan<byte>)block.Signs);
        for (int g = 0; g < 8; g++)
        {
            var eights = Vector256.Create(Magnitudes(in block, 4 * g), Magnitudes(in block, 4 * g + 1), Magnitudes(in block, 4 * g + 2), Magnitudes(in block, 4 * g + 3));
            EvenSigns.Apply(eights, signs[g]).CopyTo(codes[(32 * g)..]);
        }
        for (int g = 0; g < 8; g++) scales[g] = Scale(in block, g);
        offsets.Clear();
    }

    private static ulong Magnitudes(in IQ3_S block, int eight)
    {
        ulong[] points = Lattices.IQ3_S.Points;
        int high = block.High[eight / 4] >> (2 * (eight % 4));
        return points[block.Low[2 * eight] | (high & 1) << 8] | points[block.Low[2 * eight + 1] | (high & 2) << 7] << 32;
    }

    private static void Store(ref IQ3_S block, int four, int point, int signs)
    {
        int shift = four % 8, half = 4 * (four & 1);
        block.Low[four] = (byte)point;
        block.High[four / 8] = (byte)(block.High[four / 8] & ~(1 << shift) | point >> 8 << shift);
        block.Signs[four / 2] = (byte)(block.Signs[four / 2] & ~(15 << half) | (signs & 15) << half);
    }

    private static float Scale(in IQ3_S block, int group) =>
        (float)block.D * (1 + 2 * (block.Scales[group / 2] >> (4 * (group & 1)) & 15));
}
