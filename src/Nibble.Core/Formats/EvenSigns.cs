using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>
/// The signs of eight weights. Some formats store only seven, the eighth being such that an even number are negative
/// (ggml's ksigns_iq2xs): where the weights' own signs are odd, one of the eight is stored wrong.
/// </summary>
internal static class EvenSigns
{
    /// <summary>Bit i is set if weight i is negative; the magnitudes go to their own place.</summary>
    public static int Split(ReadOnlySpan<float> weights, Span<float> magnitudes)
    {
        int signs = 0;
        for (int i = 0; i < weights.Length; i++)
        {
            if (weights[i] < 0) signs |= 1 << i;
            magnitudes[i] = MathF.Abs(weights[i]);
        }
        return signs;
    }

    public static bool IsOdd(int signs) => (BitOperations.PopCount((uint)signs) & 1) != 0;

    /// <summary>The signs of up to four eights, a byte each, of which seven are stored.</summary>
    public static uint FromSeven(uint signs)
    {
        // Bit 0 of each byte becomes the parity of its eight.
        uint odd = signs ^ signs >> 4;
        odd ^= odd >> 2;
        odd ^= odd >> 1;
        return signs | (odd & 0x0101_0101) << 7;
    }

    /// <summary>The same of four times seven bits that follow each other.</summary>
    public static uint FromSevens(uint sevens) =>
        FromSeven(sevens & 0x7F | (sevens & 0x3F80) << 1 | (sevens & 0x1F_C000) << 2 | (sevens & 0xFE0_0000) << 3);

    /// <summary>Eight signed bytes times a scale.</summary>
    public static void Expand(ulong codes, float scale, Span<float> weights)
    {
        for (int i = 0; i < 8; i++) weights[i] = scale * (sbyte)(codes >> (8 * i));
    }

    /// <summary>Eight bytes, those negated whose bit is set.</summary>
    public static ulong Apply(ulong magnitudes, uint signs) => Apply(Vector256.CreateScalar(magnitudes), signs).AsUInt64()[0];

    /// <summary>Four times eight bytes, those negated whose bit is set; lanes are weights.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<sbyte> Apply(Vector256<ulong> magnitudes, uint signs)
    {
        Vector256<byte> bits = Vector256.Create(0x8040_2010_0804_0201UL).AsByte();
        Vector256<byte> eights = Vector256.Shuffle(Vector256.Create(signs).AsByte(), Vector256.Create(
            0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 18, 18, 18, 18, 18, 18, 18, 18, 19, 19, 19, 19, 19, 19, 19, (byte)19));
        Vector256<sbyte> negative = Vector256.Equals(eights & bits, bits).AsSByte();
        return (magnitudes.AsSByte() ^ negative) - negative; // where it is -1: ~m + 1
    }
}
