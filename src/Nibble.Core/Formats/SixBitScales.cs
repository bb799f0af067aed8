namespace Nibble.Core.Formats;

/// <summary>
/// Eight scales and eight minima of 6 bits in 12 bytes (<see cref="Q4_K"/>, <see cref="Q5_K"/>): the first four of each
/// in the low bits of bytes 0-3 and 4-7; of the last four, the low halves in bytes 8-11 and the high two bits above the
/// first four.
/// </summary>
internal static class SixBitScales
{
    /// <summary>A scale and a minimum for each group.</summary>
    /// <param name="at">The first of the 12 bytes in the block.</param>
    public static IEnumerable<BlockParameter> Parameters(int at) => Enumerable.Range(0, 8).SelectMany(g => g < 4
        ? new[] { BlockParameter.OfBits(new(at + g, 0, 6)), BlockParameter.OfBits(new(at + g + 4, 0, 6)) }
        : [BlockParameter.OfBits(new(at + g + 4, 0, 4), new(at + g - 4, 6, 2)), BlockParameter.OfBits(new(at + g + 4, 4, 4), new(at + g, 6, 2))]);

    public static (int Scale, int Minimum) Get(ReadOnlySpan<byte> bytes, int group) => group < 4
        ? (bytes[group] & 63, bytes[group + 4] & 63)
        : ((bytes[group + 4] & 15) | ((bytes[group - 4] >> 6) << 4), (bytes[group + 4] >> 4) | ((bytes[group] >> 6) << 4));

    public static void Pack(ReadOnlySpan<byte> scales, ReadOnlySpan<byte> minima, Span<byte> bytes)
    {
        for (int i = 0; i < 4; i++)
        {
            bytes[i] = (byte)(scales[i] | ((scales[i + 4] >> 4) << 6));
            bytes[i + 4] = (byte)(minima[i] | ((minima[i + 4] >> 4) << 6));
            bytes[i + 8] = (byte)((scales[i + 4] & 15) | ((minima[i + 4] & 15) << 4));
        }
    }
}
