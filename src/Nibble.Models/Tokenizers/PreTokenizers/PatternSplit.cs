using Nibble.Core;

namespace Nibble.Models.Tokenizers.PreTokenizers;

/// <summary>Cuts at the matches of a regular expression.</summary>
public sealed class PatternSplit : PreTokenizer
{
    /// <summary>What GPT-2 cuts words with; Hugging Face's ByteLevel has it built in.</summary>
    public const string Gpt2 = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    private readonly PatternMatcher _matcher;
    private readonly Delimiters _delimiters;
    private readonly bool _invert;

    /// <param name="pattern">In Oniguruma's syntax, as in tokenizer.json.</param>
    /// <param name="delimiters">What becomes of the matches.</param>
    /// <param name="invert">Whether the delimiters are what the pattern does not match.</param>
    /// <param name="place">The file and the place in it, for messages.</param>
    /// <exception cref="UnusableInputException">The pattern is no regular expression, or means something else here than in Oniguruma.</exception>
    public PatternSplit(string pattern, Delimiters delimiters, bool invert, string place)
    {
        _matcher = new PatternMatcher(pattern, place);
        _delimiters = delimiters;
        _invert = invert;
    }

    /// <summary>As the file has it.</summary>
    public string Pattern => _matcher.Pattern;

    // Files write line ends in patterns as they are or escaped, which is the same.
    public override string Signature => $"split {_delimiters}{(_invert ? " inverted" : "")} at /{Pattern.Replace("\r", "\\r", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal)}/";

    /// <exception cref="UnusableInputException">The pattern takes seconds on this text.</exception>
    public override void Split(ReadOnlyMemory<char> text, bool first, List<ReadOnlyMemory<char>> pieces)
    {
        var cut = new Cut(text, _delimiters, _invert, pieces);
        foreach ((int start, int end) in _matcher.Matches(text.Span)) cut.Match(start, end);
        cut.Finish();
    }
}
