using System.Globalization;
using System.Text;

namespace Nibble.Models.Tokenizers.PreTokenizers;

/// <summary>What <see cref="CharacterSplit"/> cuts at.</summary>
public enum CharacterKind
{
    WhiteSpace,

    /// <summary>Numbers in the wide sense: Roman numerals and fractions too.</summary>
    Number,

    /// <summary>Unicode punctuation, and the symbols of ASCII ($ + &lt; = &gt; ^ ` | ~), as BERT has it.</summary>
    Punctuation,
}

/// <summary>Cuts at every character of a kind.</summary>
public sealed class CharacterSplit(CharacterKind kind, Delimiters delimiters) : PreTokenizer
{
    public override string Signature => $"split {delimiters} at {kind}";

    public override void Split(ReadOnlyMemory<char> text, bool first, List<ReadOnlyMemory<char>> pieces)
    {
        var cut = new Cut(text, delimiters, invert: false, pieces);
        int at = 0;
        foreach (Rune rune in text.Span.EnumerateRunes())
        {
            if (IsDelimiter(rune)) cut.Match(at, at + rune.Utf16SequenceLength);
            at += rune.Utf16SequenceLength;
        }
        cut.Finish();
    }

    private bool IsDelimiter(Rune rune) => kind switch
    {
        CharacterKind.WhiteSpace => Rune.IsWhiteSpace(rune),
        CharacterKind.Number => Rune.IsNumber(rune),
        _ => Rune.IsPunctuation(rune) || (rune.IsAscii && Rune.IsSymbol(rune)),
    };
}

/// <summary>Words and runs of what is neither word nor space: Rust's <c>\w+|[^\w\s]+</c>, all else removed.</summary>
public sealed class WordSplit : PreTokenizer
{
    public override string Signature => "words";

    public override void Split(ReadOnlyMemory<char> text, bool first, List<ReadOnlyMemory<char>> pieces)
    {
        int at = 0, start = 0, kind = 0;
        foreach (Rune rune in text.Span.EnumerateRunes())
        {
            int next = Rune.IsWhiteSpace(rune) ? 0 : IsWord(rune) ? 1 : 2;
            if (next != kind)
            {
                if (kind != 0) pieces.Add(text[start..at]);
                (start, kind) = (at, next);
            }
            at += rune.Utf16SequenceLength;
        }
        if (kind != 0) pieces.Add(text[start..]);
    }

    // Unicode Technical Standard 18: alphabetic, marks, decimal digits, connectors and the two joiners.
    private static bool IsWord(Rune rune) => rune.Value is 0x200C or 0x200D or (>= 0x24B6 and <= 0x24E9) or (>= 0x1F130 and <= 0x1F149)
            or (>= 0x1F150 and <= 0x1F169) or (>= 0x1F170 and <= 0x1F189)
        || Rune.GetUnicodeCategory(rune) is <= UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.ConnectorPunctuation;
}
