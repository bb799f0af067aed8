using System.Text.RegularExpressions;
using Nibble.Core;

namespace Nibble.Models.Tokenizers.PreTokenizers;

/// <summary>Cuts at the matches of a regular expression.</summary>
public sealed class PatternSplit : PreTokenizer
{
    /// <summary>What GPT-2 cuts words with; Hugging Face's ByteLevel has it built in.</summary>
    public const string Gpt2 = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);
    private readonly Regex _regex;
    private readonly Delimiters _delimiters;
    private readonly bool _invert;

    /// <param name="pattern">In Oniguruma's syntax, as in tokenizer.json.</param>
    /// <param name="delimiters">What becomes of the matches.</param>
    /// <param name="invert">Whether the delimiters are what the pattern does not match.</param>
    /// <param name="place">The file and the place in it, for messages.</param>
    /// <exception cref="UnusableInputException">The pattern is no regular expression, or means something else here than in Oniguruma.</exception>
    public PatternSplit(string pattern, Delimiters delimiters, bool invert, string place)
    {
        Pattern = pattern;
        _delimiters = delimiters;
        _invert = invert;
        string translated = OnigurumaPattern.Translate(pattern, place);
        try
        {
            _regex = new Regex(translated, RegexOptions.CultureInvariant | RegexOptions.Compiled, Patience);
        }
        catch (ArgumentException e)
        {
            throw new UnusableInputException($"{place}: '{pattern}' is not a regular expression: {e.Message}", e);
        }
    }

    /// <summary>As the file has it.</summary>
    public string Pattern { get; }

    /// <exception cref="UnusableInputException">The pattern takes seconds on this text.</exception>
    public override void Split(ReadOnlyMemory<char> text, bool first, List<ReadOnlyMemory<char>> pieces)
    {
        var cut = new Cut(text, _delimiters, _invert, pieces);
        try
        {
            if (!CategoryShadow.IsNeeded(text.Span))
            {
                foreach (ValueMatch match in _regex.EnumerateMatches(text.Span)) cut.Match(match.Index, match.Index + match.Length);
            }
            else
            {
                CategoryShadow shadow = new(text.Span);
                foreach (ValueMatch match in _regex.EnumerateMatches(shadow.Text))
                    cut.Match(shadow.Original(match.Index), shadow.Original(match.Index + match.Length));
            }
        }
        catch (RegexMatchTimeoutException e)
        {
            throw new UnusableInputException($"the tokenizer's pattern '{Pattern}' takes over {Patience.TotalSeconds} seconds on this text", e);
        }
        cut.Finish();
    }
}
