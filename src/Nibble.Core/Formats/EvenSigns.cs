using System.Numerics;

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

    /// <summary>Eight signs from the seven that are stored.</summary>
    public static int FromSeven(uint seven) => (int)(seven | (uint)(BitOperations.PopCount(seven) & 1) << 7);

    /// <summary>Eight signed bytes times a scale.</summary>
    public static void Expand(ulong codes, float scale, Span<float> weights)
    {
        for (int i = 0; i < 8; i++) weights[i] = scale * (sbyte)(codes >> (8 * i));
    }

    /// <summary>Eight bytes above zero, negated where the sign's bit is set.</summary>
    public static ulong Apply(ulong magnitudes, int signs)
    {
        // Bit i -> byte i: copies, one bit kept in each, and 0x80 carried up wherever it was set.
        ulong spread = ((uint)signs * 0x0101_0101_0101_0101UL) & 0x8040_2010_0804_0201UL;
        ulong ones = ((spread + 0x7F7F_7F7F_7F7F_7F7FUL) & 0x8080_8080_8080_8080UL) >> 7;
        ulong mask = ones * 255;
        return (magnitudes ^ mask) + ones; // ~m + 1 is -m; above zero, it carries into no other byte
    }
}
