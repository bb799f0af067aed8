using System.Globalization;
using System.Text;

namespace Nibble.Models.Tokenizers.Decoding;

/// <summary>How a token becomes bytes of text again: a chain of rewritings of its string, then its bytes.</summary>
/// <param name="Steps">Applied in order to the token's string.</param>
/// <param name="Bytes">What the rewritten string means.</param>
/// <param name="Strip">A character cut from the start of the whole text, up to so many times.</param>
public sealed record PieceDecoder(IReadOnlyList<PieceStep> Steps, PieceBytes Bytes, (char Character, int Times) Strip)
{
    /// <summary>The bytes of a token.</summary>
    /// <param name="token">As the vocabulary has it.</param>
    /// <param name="first">Whether the text begins with it.</param>
    /// <param name="isByte">Whether it stands for one byte that no character was found for.</param>
    public byte[] Decode(string token, bool first, out bool isByte)
    {
        isByte = false;
        foreach (PieceStep step in Steps) token = step.Apply(token, first);
        if (Bytes == PieceBytes.Alphabet) return ByteAlphabet.Decode(token);
        if (Bytes == PieceBytes.Fallback && token.Length == 6 && token.StartsWith("<0x", StringComparison.Ordinal) && token[5] == '>'
            && byte.TryParse(token.AsSpan(3, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out byte value))
        {
            isByte = true;
            return [value];
        }
        if (first)
        {
            int cut = 0;
            while (cut < Strip.Times && cut < token.Length && token[cut] == Strip.Character) cut++;
            token = token[cut..];
        }
        return Encoding.UTF8.GetBytes(token);
    }
}

/// <summary>What the characters of a token mean.</summary>
public enum PieceBytes
{
    /// <summary>Themselves.</summary>
    Text,

    /// <summary>A byte each, by <see cref="ByteAlphabet"/>.</summary>
    Alphabet,

    /// <summary>Themselves, but &lt;0xXX&gt; is a byte.</summary>
    Fallback,
}

/// <summary>One rewriting of a token's string.</summary>
public abstract record PieceStep
{
    public abstract string Apply(string token, bool first);
}

/// <summary>Replaces a string wherever it occurs.</summary>
public sealed record ReplaceStep(string Old, string New) : PieceStep
{
    public override string Apply(string token, bool first) => Old.Length == 0 ? token : token.Replace(Old, New, StringComparison.Ordinal);
}

/// <summary>SentencePiece's mark becomes a space; in the first token it was put there by the tokenizer and goes.</summary>
public sealed record MetaspaceStep(char Mark, bool Prepended) : PieceStep
{
    public override string Apply(string token, bool first) => token.Replace(Mark.ToString(), first && Prepended ? "" : " ", StringComparison.Ordinal);
}

/// <summary>Tokens are words with a space between them, unless they begin with the prefix of a continuation.</summary>
public sealed record WordPieceStep(string Prefix, bool Cleanup) : PieceStep
{
    private static readonly (string Old, string New)[] Spacing =
    [
        (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
        (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
    ];

    public override string Apply(string token, bool first)
    {
        if (!first) token = token.StartsWith(Prefix, StringComparison.Ordinal) ? token[Prefix.Length..] : " " + token;
        if (Cleanup) foreach ((string old, string replacement) in Spacing) token = token.Replace(old, replacement, StringComparison.Ordinal);
        return token;
    }
}
