using System.Buffers;
using System.Globalization;
using System.Text;

namespace Nibble.Models.Tokenizers;

/// <summary>Cuts a text at added tokens: the leftmost first, of those that begin together the longest.</summary>
internal sealed class AddedTokenMatcher
{
    private readonly Dictionary<(int Node, char Next), int> _edges = [];
    private readonly List<AddedToken?> _ends = [null];
    private readonly SearchValues<char> _firsts;

    /// <param name="tokens">The tokens, with the content to look for.</param>
    public AddedTokenMatcher(IEnumerable<(AddedToken Token, string Content)> tokens)
    {
        var firsts = new HashSet<char>();
        foreach ((AddedToken token, string content) in tokens)
        {
            if (content.Length == 0) continue;
            firsts.Add(content[0]);
            int node = 0;
            foreach (char c in content)
            {
                if (!_edges.TryGetValue((node, c), out int next))
                {
                    _edges[(node, c)] = next = _ends.Count;
                    _ends.Add(null);
                }
                node = next;
            }
            _ends[node] = token;
        }
        _firsts = SearchValues.Create([.. firsts]);
    }

    /// <summary>A stretch of the text: an added token, or text between them where <see cref="Token"/> is null.</summary>
    public readonly record struct Stretch(AddedToken? Token, int Start, int End);

    /// <summary>The whole text as stretches, none of them empty.</summary>
    /// <param name="text">The text to cut.</param>
    /// <param name="special">Whether to find special tokens too; otherwise they stay text.</param>
    public List<Stretch> Cut(string text, bool special)
    {
        var stretches = new List<Stretch>();
        int done = 0, at = 0;
        while (Find(text, at) is var (token, start, end))
        {
            at = end;
            if (token.Special && !special) continue;
            if (token.SingleWord && !StandsAlone(text, start, end)) continue;
            if (token.StripLeft) while (start > done && char.IsWhiteSpace(text[start - 1])) start--;
            if (token.StripRight) while (end < text.Length && char.IsWhiteSpace(text[end])) end++;
            if (start < done) start = done;
            if (start > done) stretches.Add(new(null, done, start));
            stretches.Add(new(token, start, end));
            done = end;
        }
        if (done < text.Length) stretches.Add(new(null, done, text.Length));
        return stretches;
    }

    private (AddedToken Token, int Start, int End)? Find(string text, int from)
    {
        for (int start = from; ; start++)
        {
            int skip = text.AsSpan(start).IndexOfAny(_firsts);
            if (skip < 0) return null;
            start += skip;
            (AddedToken Token, int Start, int End)? longest = null;
            int node = 0;
            for (int i = start; i < text.Length && _edges.TryGetValue((node, text[i]), out node); i++)
            {
                if (_ends[node] is { } token) longest = (token, start, i + 1);
            }
            if (longest is not null) return longest;
        }
    }

    private static bool StandsAlone(string text, int start, int end)
    {
        bool wordBefore = Rune.DecodeLastFromUtf16(text.AsSpan(0, start), out Rune before, out _) == OperationStatus.Done && IsWord(before);
        bool wordAfter = Rune.DecodeFromUtf16(text.AsSpan(end), out Rune after, out _) == OperationStatus.Done && IsWord(after);
        return !wordBefore && !wordAfter;
    }

    private static bool IsWord(Rune rune) => Rune.GetUnicodeCategory(rune) is <= UnicodeCategory.DecimalDigitNumber
        or UnicodeCategory.LetterNumber or UnicodeCategory.ConnectorPunctuation;
}
