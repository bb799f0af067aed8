using System.Text.RegularExpressions;
using Nibble.Core;
using Nibble.Models.Tokenizers.PreTokenizers;
using static System.FormattableString;

namespace Nibble.Models.Tokenizers;

/// <summary>Finds the matches of a tokenizer.json's regular expression in any Unicode text.</summary>
internal sealed class PatternMatcher
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);
    private readonly Regex _regex;

    /// <param name="pattern">In Oniguruma's syntax, as in tokenizer.json.</param>
    /// <param name="place">The file and the place in it, for messages.</param>
    /// <exception cref="UnusableInputException">The pattern is no regular expression, or has no equal in .NET.</exception>
    public PatternMatcher(string pattern, string place)
    {
        Pattern = pattern;
        string translated = OnigurumaPattern.Translate(pattern, place);
        try
        {
            // Interpreted: a megabyte takes 0.1 s, while compiling costs each start 25 ms and ahead-of-time builds ignore it.
            _regex = new Regex(translated, RegexOptions.CultureInvariant, Patience);
        }
        catch (ArgumentException e)
        {
            throw new UnusableInputException($"{place}: '{pattern}' is not a regular expression: {e.Message}", e);
        }
    }

    /// <summary>As the file has it.</summary>
    public string Pattern { get; }

    /// <summary>Where the matches begin and end, from left to right.</summary>
    /// <exception cref="UnusableInputException">The pattern takes seconds on this text.</exception>
    public List<(int Start, int End)> Matches(ReadOnlySpan<char> text)
    {
        var matches = new List<(int Start, int End)>(text.Length / 4 + 1);
        CategoryShadow? shadow = CategoryShadow.IsNeeded(text) ? new CategoryShadow(text) : null;
        try
        {
            foreach (ValueMatch match in _regex.EnumerateMatches(shadow is null ? text : shadow.Text))
            {
                int end = match.Index + match.Length;
                matches.Add(shadow is null ? (match.Index, end) : (shadow.Original(match.Index), shadow.Original(end)));
            }
        }
        catch (RegexMatchTimeoutException e)
        {
            throw new UnusableInputException(Invariant($"the tokenizer's pattern '{Pattern}' takes over {Patience.TotalSeconds} seconds on this text"), e);
        }
        return matches;
    }
}
