namespace Nibble.Core.Kernels;

/// <summary>Levels at any distances as whole numbers of two digits of 6 bits, each with a table by code.</summary>
/// <remarks>
/// Codes of up to 4 bits have levels with signs, which are rounded to whole numbers of 12 bits, the largest of a table being
/// 2015: a level is off by at most 1/4030 of the largest, a sixteenth of what rounding the inputs to 8 bits costs. A number is two
/// digits, 64 (h - 32) + (l - 32). Codes of more bits take a byte whose top bit is the sign: their magnitudes are
/// 64 h + l, the largest 4095.
/// </remarks>
/// <param name="IsSmall">True for codes of up to 4 bits.</param>
internal readonly unsafe record struct LevelDigits(bool IsSmall)
{
    /// <summary>Bits of a code that is small.</summary>
    public const int SmallBits = 4;

    /// <summary>Bytes of one digit of every code; of small codes four times over, as look-ups at 512 bits want it.</summary>
    public int DigitBytes => IsSmall ? 64 : 128;

    /// <summary>Bytes of a table: the upper digit of each code, then the lower.</summary>
    public int TableBytes => 2 * DigitBytes;

    /// <summary>What digits add to a number, and so to every level.</summary>
    public int Bias => IsSmall ? 64 * 32 + 32 : 0;

    private int LargestNumber => IsSmall ? 2015 : 4095;

    /// <summary>The level that the number 1 stands for.</summary>
    public float UnitOf(ReadOnlySpan<float> levels)
    {
        float largest = 0;
        foreach (float level in levels) largest = Math.Max(largest, Math.Abs(level));
        return largest / LargestNumber;
    }

    /// <summary>Writes the table of some levels.</summary>
    /// <param name="levels">By code.</param>
    /// <param name="table"><see cref="TableBytes"/> bytes.</param>
    public void Write(ReadOnlySpan<float> levels, byte* table)
    {
        float unit = UnitOf(levels);
        int count = IsSmall ? levels.Length : levels.Length / 2, places = IsSmall ? 1 << SmallBits : DigitBytes;
        for (int i = 0; i < DigitBytes; i++)
        {
            int code = i % places, number = Bias + (code < count && unit > 0 ? (int)Math.Round((double)levels[code] / unit) : 0);
            (table[i], table[DigitBytes + i]) = ((byte)(number >> 6), (byte)(number & 63));
        }
    }
}
