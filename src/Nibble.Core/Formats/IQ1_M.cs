using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Nibble.Core.Formats;

/// <summary>
/// Eight weights a code: one of 2048 points with coordinates -1, 0 and 1, all moved up or down by an eighth. A group of 16
/// has a scale of 3 bits: weight = d * (2 l + 1) * (coordinate ± 1/8). The 16 bits of d are spread over the words of the
/// scales. Layout: ggml's block_iq1_m.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct IQ1_M : IBlock<IQ1_M>
{
    /// <summary>The low 8 bits of the points.</summary>
    public Bytes32 Low;
    /// <summary>Two codes a byte, the first low: the high 3 bits of the point, and bit 3 if the shift is down.</summary>
    public Bytes16 High;
    public Words Scales;

    /// <summary>A word for four groups: their scales from bit 0, and above them 4 bits of d, the lowest in the first word.</summary>
    [InlineArray(4)]
    public struct Words { private ushort _first; }

    public static string Name => "IQ1_M";
    public static FormatFamily Family => FormatFamily.Vector;
    public static bool HasRange => false;
    public static uint? GgufType => 29;
    public static int Size => 256;
    public static int Stride => 8;
    public static bool HasUnits => true;
    public static float ScaleFactor => 1f / 8;
    public static int Group => 16;
    public static ReadOnlySpan<sbyte> Levels => [-9, -7, -1, 1, 7, 9];
    public static double ErrorBudget => 0.19;

    private static readonly LatticeShape Shape = new(Lattices.IQ1Up, Lattices.IQ1Down, LatticeSigns.ShiftOfEight, 16, 8, 1f / 8, 7);

    public static void Fit(ref IQ1_M block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        block = default;
        if (LatticeFit.Fit(Shape, weights, options) is not { } fit) return;
        int d = BitConverter.HalfToUInt16Bits(fit.D);
        for (int word = 0; word < 4; word++) block.Scales[word] = (ushort)((d >> (4 * word) & 15) << 12);
        for (int g = 0; g < 16; g++) block.Scales[g / 4] |= (ushort)(fit.Scales[g] << (3 * (g % 4)));
        for (int e = 0; e < 32; e++) Store(ref block, e, fit.Points[e], fit.Signs[e] != 0);
    }

    public static void Encode(ref IQ1_M block, ReadOnlySpan<float> weights, in FitOptions options) =>
        Fit(ref block, weights, options);

    public static void Put(ref IQ1_M block, int at, ReadOnlySpan<float> weights, Span<float> rounded)
    {
        float scale = Scale(in block, at / 16, D(in block));
        (int Point, float Error) up = default, down = default;
        if (scale != 0) (up, down) = (Lattices.IQ1Up.Nearest(weights, scale), Lattices.IQ1Down.Nearest(weights, scale));
        bool isDown = down.Error < up.Error;
        Store(ref block, at / 8, isDown ? down.Point : up.Point, isDown);
        EvenSigns.Expand(Codes(in block, at / 8), scale, rounded);
    }

    public static (float Scale, float Offset) Units(in IQ1_M block) => (D(in block) * ScaleFactor, 0);

    public static void Unpack(in IQ1_M block, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        Span<ulong> eights = MemoryMarshal.Cast<sbyte, ulong>(codes);
        for (int e = 0; e < 32; e++) eights[e] = Codes(in block, e);
        float d = D(in block);
        for (int g = 0; g < 16; g++) scales[g] = Scale(in block, g, d);
        offsets.Clear();
    }

    private static void Store(ref IQ1_M block, int eight, int point, bool down)
    {
        int shift = 4 * (eight & 1);
        block.Low[eight] = (byte)point;
        block.High[eight / 2] = (byte)(block.High[eight / 2] & ~(15 << shift) | (point >> 8 | (down ? 8 : 0)) << shift);
    }

    private static ulong Codes(in IQ1_M block, int eight)
    {
        int high = block.High[eight / 2] >> (4 * (eight & 1));
        return ((high & 8) != 0 ? Lattices.IQ1Down : Lattices.IQ1Up).Points[block.Low[eight] | (high & 7) << 8];
    }

    private static float D(in IQ1_M block) => (float)BitConverter.UInt16BitsToHalf(
        (ushort)(block.Scales[0] >> 12 | block.Scales[1] >> 12 << 4 | block.Scales[2] >> 12 << 8 | block.Scales[3] >> 12 << 12));

    /// <summary>The scale of eighths.</summary>
    private static float Scale(in IQ1_M block, int group, float d) => d * (2 * (block.Scales[group / 4] >> (3 * (group % 4)) & 7) + 1) / 8;
}
