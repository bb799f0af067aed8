using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Nibble.Core.Formats;

/// <summary>
/// Eight weights a code: one of 2048 points with coordinates -1, 0 and 1. A group of 32 has a scale of 3 bits and moves all
/// its coordinates up or down by an eighth: weight = d * (2 l + 1) * (coordinate ± 1/8). Layout: ggml's block_iq1_s.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct IQ1_S : IBlock<IQ1_S>
{
    public Half D;
    /// <summary>The low 8 bits of the points.</summary>
    public Bytes32 Low;
    public Words High;

    /// <summary>A word a group: four times the high 3 bits of a point, the scale from bit 12, and bit 15 if the shift is down.</summary>
    [InlineArray(8)]
    public struct Words { private ushort _first; }

    public static string Name => "IQ1_S";
    public static FormatFamily Family => FormatFamily.Vector;
    public static bool HasRange => false;
    public static uint? GgufType => 19;
    public static int Size => 256;
    public static int Stride => 8;
    public static bool HasUnits => true;
    public static float ScaleFactor => 1f / 8;
    public static int Group => 32;
    public static ReadOnlySpan<sbyte> Levels => [-9, -7, -1, 1, 7, 9];
    public static double ErrorBudget => 0.22;

    private static readonly LatticeShape Shape = new(Lattices.IQ1Up, Lattices.IQ1Down, LatticeSigns.ShiftOfGroup, 32, 8, 1f / 8, 7);

    public static void Fit(ref IQ1_S block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        block = default;
        if (LatticeFit.Fit(Shape, weights, options) is not { } fit) return;
        block.D = fit.D;
        for (int g = 0; g < 8; g++) block.High[g] = (ushort)(fit.Scales[g] << 12 | fit.Signs[4 * g] << 15);
        for (int e = 0; e < 32; e++) Store(ref block, e, fit.Points[e]);
    }

    public static void Encode(ref IQ1_S block, ReadOnlySpan<float> weights, in FitOptions options) =>
        Fit(ref block, weights, options);

    public static void Put(ref IQ1_S block, int at, ReadOnlySpan<float> weights, Span<float> rounded)
    {
        float scale = Scale(in block, at / 32);
        Lattice lattice = IsDown(in block, at / 32) ? Lattices.IQ1Down : Lattices.IQ1Up;
        int point = scale == 0 ? 0 : lattice.Nearest(weights, scale).Point;
        Store(ref block, at / 8, point);
        EvenSigns.Expand(Codes(in block, at / 8), scale, rounded);
    }

    public static (float Scale, float Offset) Units(in IQ1_S block) => ((float)block.D * ScaleFactor, 0);

    public static void Unpack(in IQ1_S block, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        Span<ulong> eights = MemoryMarshal.Cast<sbyte, ulong>(codes);
        for (int e = 0; e < 32; e++) eights[e] = Codes(in block, e);
        for (int g = 0; g < 8; g++) scales[g] = Scale(in block, g);
        offsets.Clear();
    }

    private static void Store(ref IQ1_S block, int eight, int point)
    {
        int shift = 3 * (eight % 4);
        block.Low[eight] = (byte)point;
        block.High[eight / 4] = (ushort)(block.High[eight / 4] & ~(7 << shift) | point >> 8 << shift);
    }

    private static ulong Codes(in IQ1_S block, int eight)
    {
        int point = block.Low[eight] | (block.High[eight / 4] >> (3 * (eight % 4)) & 7) << 8;
        return (IsDown(in block, eight / 4) ? Lattices.IQ1Down : Lattices.IQ1Up).Points[point];
    }

    private static bool IsDown(in IQ1_S block, int group) => (block.High[group] & 0x8000) != 0;

    /// <summary>The scale of eighths.</summary>
    private static float Scale(in IQ1_S block, int group) => (float)block.D * (2 * (block.High[group] >> 12 & 7) + 1) / 8;
}
