using System.Globalization;
using System.Text;

namespace Nibble.Models.Tokenizers.Normalizers;

/// <summary>Replaces the matches of a regular expression.</summary>
internal sealed class ReplacePattern(PatternMatcher pattern, string replacement) : Normalizer
{
    public override string Apply(string text)
    {
        var result = new StringBuilder(text.Length);
        int done = 0;
        foreach ((int start, int end) in pattern.Matches(text))
        {
            result.Append(text, done, start - done).Append(replacement);
            done = end;
        }
        return result.Append(text, done, text.Length - done).ToString();
    }
}

/// <summary>Lower case, character by character.</summary>
public sealed class Lowercase : Normalizer
{
    public override string Apply(string text)
    {
        var result = new StringBuilder(text.Length);
        foreach (Rune rune in text.EnumerateRunes())
        {
            // The one character whose lower case is two: the Turkish I with a dot.
            if (rune.Value == 0x130) result.Append("i\u0307");
            else result.Append(Rune.ToLowerInvariant(rune));
        }
        return result.ToString();
    }
}

/// <summary>Removes white space from the ends.</summary>
public sealed class Strip(bool left, bool right) : Normalizer
{
    public override string Apply(string text) => (left, right) switch
    {
        (true, true) => text.Trim(),
        (true, false) => text.TrimStart(),
        (false, true) => text.TrimEnd(),
        _ => text,
    };
}

/// <summary>No space at the ends, and single spaces between.</summary>
public sealed class SingleSpaces : Normalizer
{
    public override string Apply(string text) => string.Join(' ', text.Split(' ', StringSplitOptions.RemoveEmptyEntries));
}

/// <summary>Keeps, drops or replaces single characters.</summary>
public abstract class CharacterRule : Normalizer
{
    public override string Apply(string text)
    {
        var result = new StringBuilder(text.Length);
        foreach (Rune rune in text.EnumerateRunes()) Append(rune, result);
        return result.ToString();
    }

    private protected abstract void Append(Rune rune, StringBuilder result);
}

/// <summary>Drops combining marks: all of them, or only those that take no space of their own.</summary>
public sealed class StripAccents(bool nonspacingOnly) : CharacterRule
{
    private protected override void Append(Rune rune, StringBuilder result)
    {
        UnicodeCategory category = Rune.GetUnicodeCategory(rune);
        bool mark = category == UnicodeCategory.NonSpacingMark
            || (!nonspacingOnly && category is UnicodeCategory.SpacingCombiningMark or UnicodeCategory.EnclosingMark);
        if (!mark) result.Append(rune);
    }
}

/// <summary>What SentencePiece drops of control characters and takes for spaces, as in Google's translation system.</summary>
public sealed class Nmt : CharacterRule
{
    private protected override void Append(Rune rune, StringBuilder result)
    {
        bool dropped = rune.Value is (>= 0x01 and <= 0x08) or 0x0B or (>= 0x0E and <= 0x1F) or 0x7F or 0x8F or 0x9F;
        bool space = rune.Value is 0x09 or 0x0A or 0x0C or 0x0D or 0x1680 or (>= 0x200B and <= 0x200F) or 0x2028 or 0x2029 or 0x2581 or 0xFEFF or 0xFFFD;
        if (space) result.Append(' ');
        else if (!dropped) result.Append(rune);
    }
}

/// <summary>BERT's cleaning: control characters go, and every white space becomes a space.</summary>
public sealed class CleanText : CharacterRule
{
    private protected override void Append(Rune rune, StringBuilder result)
    {
        if (Rune.IsWhiteSpace(rune) && (rune.Value is '\t' or '\n' or '\r' || !IsControl(rune))) result.Append(' ');
        else if (rune.Value is not (0 or 0xFFFD) && !IsControl(rune)) result.Append(rune);
    }

    private static bool IsControl(Rune rune) =>
        Rune.GetUnicodeCategory(rune) is UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.PrivateUse;
}

/// <summary>Puts spaces around Chinese characters, so that each is a word.</summary>
public sealed class SpacedIdeographs : CharacterRule
{
    private protected override void Append(Rune rune, StringBuilder result)
    {
        // The original's list of blocks, with its gap: extension E begins at 2B820 and is missed up to 2B91F.
        bool ideograph = rune.Value is (>= 0x4E00 and <= 0x9FFF) or (>= 0x3400 and <= 0x4DBF) or (>= 0x20000 and <= 0x2A6DF)
            or (>= 0x2A700 and <= 0x2B73F) or (>= 0x2B740 and <= 0x2B81F) or (>= 0x2B920 and <= 0x2CEAF) or (>= 0xF900 and <= 0xFAFF) or (>= 0x2F800 and <= 0x2FA1F);
        if (ideograph) result.Append(' ').Append(rune).Append(' ');
        else result.Append(rune);
    }
}
