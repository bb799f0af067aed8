using Nibble.Core;

namespace Nibble.Models.Tokenizers;

/// <summary>Tokens by number and numbers by token. Numbers may have gaps, tokens may not repeat.</summary>
public sealed class Vocabulary
{
    private readonly string?[] _tokens;
    private readonly Dictionary<string, int> _ids;
    private readonly Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> _bySpan;

    /// <param name="entries">Every token and its number.</param>
    /// <param name="place">The file and the place in it, for messages.</param>
    /// <exception cref="UnusableInputException">A token or a number comes twice, or a number is negative or far past the count of tokens.</exception>
    public Vocabulary(IReadOnlyCollection<(string Token, int Id)> entries, string place)
    {
        ArgumentNullException.ThrowIfNull(entries);
        // The array is as large as the largest number, which a file may claim at will; published gaps are small.
        long limit = 2L * entries.Count + 4096;
        int size = 0;
        foreach ((string token, int id) in entries)
        {
            if (id < 0 || id >= limit)
                throw new UnusableInputException($"{place}: token '{Shown(token)}' has the id {id}, but there are only {entries.Count} tokens");
            size = Math.Max(size, id + 1);
            Longest = Math.Max(Longest, token.Length);
        }
        _tokens = new string?[size];
        _ids = new Dictionary<string, int>(entries.Count, StringComparer.Ordinal);
        foreach ((string token, int id) in entries)
        {
            Add(token, id, place);
            if (_tokens[id] is { } other)
                throw new UnusableInputException($"{place}: tokens '{Shown(other)}' and '{Shown(token)}' share the id {id}");
            _tokens[id] = token;
        }
        _bySpan = _ids.GetAlternateLookup<ReadOnlySpan<char>>();
    }

    /// <param name="tokens">Every token; its place is its number.</param>
    /// <param name="place">The file and the place in it, for messages.</param>
    /// <exception cref="UnusableInputException">A token comes twice.</exception>
    public Vocabulary(string[] tokens, string place)
    {
        _tokens = tokens;
        _ids = new Dictionary<string, int>(tokens.Length, StringComparer.Ordinal);
        for (int id = 0; id < tokens.Length; id++)
        {
            Add(tokens[id], id, place);
            Longest = Math.Max(Longest, tokens[id].Length);
        }
        _bySpan = _ids.GetAlternateLookup<ReadOnlySpan<char>>();
    }

    private void Add(string token, int id, string place)
    {
        if (!_ids.TryAdd(token, id)) throw new UnusableInputException($"{place}: token '{Shown(token)}' comes twice");
    }

    /// <summary>One more than the largest id.</summary>
    public int Size => _tokens.Length;

    /// <summary>The length of the longest token, in UTF-16 units.</summary>
    public int Longest { get; }

    /// <summary>The token of an id, or null for a gap and for ids outside.</summary>
    public string? this[int id] => (uint)id < (uint)_tokens.Length ? _tokens[id] : null;

    /// <summary>The id of a token, or -1.</summary>
    public int Find(ReadOnlySpan<char> token) => _bySpan.TryGetValue(token, out int id) ? id : -1;

    /// <summary>A token as it can stand in a message of one line.</summary>
    internal static string Shown(ReadOnlySpan<char> token)
    {
        string cut = token.Length > 40 ? string.Concat(token[..40], "...") : token.ToString();
        return string.Concat(cut.Select(c => char.IsControl(c) || char.IsSurrogate(c) ? $"\\u{(int)c:x4}" : c.ToString()));
    }
}
