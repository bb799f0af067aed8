using System.Globalization;
using System.Text;

namespace Nibble.Models.Tokenizers.PreTokenizers;

/// <summary>
/// A text with one UTF-16 unit for each character. .NET's regular expressions see the two halves of a character past
/// U+FFFF as two characters of no category, so that a Gothic letter would not be \p{L}; here a rare character of the
/// same category stands for it. Tokenizers' patterns ask of such characters nothing but the category (and whether they are Chinese).
/// </summary>
internal sealed class CategoryShadow
{
    // By UnicodeCategory: rare characters below U+10000 that no published pattern names. They have no case partner, so
    // that a pattern that ignores case cannot confuse them either.
    private const string StandIns = "\u2102\u1D00\u1F88\u1D2C\uA016\uA8E0\uA8B4\u20DD\u0BE6\u3021\u09F4\u1680\u2028\u2029\u0001\u061C\uD800\uE000\uFE4D\u2E17\uFE43\uFE44\u2E02\u2E03\u2E0E\u2A00\uA838\uA700\u2800\u0378";

    // Planes 2 and 3 hold ideographs only, so \p{Han} can be asked of them too.
    private const char Ideograph = '\u4DB5';

    private readonly char[] _text;
    private readonly int[] _starts;
    private readonly int _length;

    public CategoryShadow(ReadOnlySpan<char> text)
    {
        _text = new char[text.Length];
        _starts = new int[text.Length + 1];
        int at = 0;
        foreach (Rune rune in text.EnumerateRunes())
        {
            _starts[_length] = at;
            _text[_length++] = rune.IsBmp ? (char)rune.Value : StandIn(rune);
            at += rune.Utf16SequenceLength;
        }
        _starts[_length] = at;
    }

    public static bool IsNeeded(ReadOnlySpan<char> text) => text.IndexOfAnyInRange('\uD800', '\uDFFF') >= 0;

    public ReadOnlySpan<char> Text => _text.AsSpan(0, _length);

    private static char StandIn(Rune rune)
    {
        bool ideograph = rune.Value is >= 0x20000 and < 0x40000 && Rune.GetUnicodeCategory(rune) == UnicodeCategory.OtherLetter;
        return ideograph ? Ideograph : StandIns[(int)Rune.GetUnicodeCategory(rune)];
    }

    /// <summary>Where a place of the shadow is in the text.</summary>
    public int Original(int index) => _starts[index];
}
