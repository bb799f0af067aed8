using System.Runtime.InteropServices;
using System.Text;
using Nibble.Core;

namespace Nibble.Models.Tokenizers.Models;

/// <summary>How a byte-pair vocabulary was trained to be used.</summary>
public sealed record BytePairOptions
{
    /// <summary>The characters are the bytes of the text, as <see cref="ByteAlphabet"/> names them.</summary>
    public bool ByteLevel { get; init; }

    /// <summary>A character outside the vocabulary becomes the tokens &lt;0xXX&gt; of its bytes.</summary>
    public bool ByteFallback { get; init; }

    /// <summary>A piece that is a token becomes that token, whatever the merges say.</summary>
    public bool IgnoreMerges { get; init; }

    /// <summary>Unknown characters in a row become one unknown token.</summary>
    public bool FuseUnknown { get; init; }

    /// <summary>The id for unknown characters; -1 drops them.</summary>
    public int Unknown { get; init; } = -1;

    /// <summary>What begins every character's token but a piece's first.</summary>
    public string ContinuingPrefix { get; init; } = "";

    /// <summary>What ends the token of a piece's last character.</summary>
    public string EndOfWordSuffix { get; init; } = "";
}

/// <summary>
/// Byte-pair encoding (Sennrich et al. 2016): the characters of a piece, and then again and again the merge of lowest
/// rank among the neighbours, leftmost first, until none is left.
/// </summary>
/// <remarks>
/// Our own, because Microsoft.ML.Tokenizers' BPE has no byte fallback and no ignore_merges, and its Tiktoken class merges
/// by a token's rank where these files list pairs: the ids would differ. Where it can do the same, a test has it agree.
/// </remarks>
public sealed class BytePairModel : TokenModel
{
    private readonly Vocabulary _vocabulary;
    private readonly Dictionary<long, Merge> _merges;
    private readonly BytePairOptions _options;
    private readonly int[]? _byteIds;
    private readonly PieceCache _cache = new();

    /// <param name="vocabulary">The tokens.</param>
    /// <param name="merges">Pairs of tokens to merge, the most urgent first.</param>
    /// <param name="options">How to use them.</param>
    /// <param name="place">The file and the place in it, for messages.</param>
    /// <exception cref="UnusableInputException">A merge names, or makes, a token that is not in the vocabulary.</exception>
    internal BytePairModel(Vocabulary vocabulary, TokenPair[] merges, BytePairOptions options, string place)
        : this(vocabulary, RankedMerges(vocabulary, merges, options.ContinuingPrefix.Length, place), options) { }

    internal BytePairModel(Vocabulary vocabulary, Dictionary<long, Merge> merges, BytePairOptions options)
    {
        _vocabulary = vocabulary;
        _merges = merges;
        _options = options;
        if (options.ByteFallback) _byteIds = [.. Enumerable.Range(0, 256).Select(b => vocabulary.Find($"<0x{b:X2}>"))];
    }

    /// <summary>What a pair of neighbours becomes, and how urgently.</summary>
    internal readonly record struct Merge(int Rank, int Id);

    /// <summary>
    /// The key of a pair of ids in the table of merges. The hash of a long is its halves, one xor the other, so that ids side by
    /// side, which are many, would share few hashes; times an odd number keys stay different and their halves get mixed.
    /// </summary>
    internal static long Pair(int left, int right) => unchecked((long)((((ulong)(uint)left << 32) | (uint)right) * 0x9E3779B97F4A7C15));

    public override void Encode(ReadOnlySpan<char> piece, List<int> ids)
    {
        if (!_cache.TryGet(piece, out int[] known))
        {
            int before = ids.Count;
            EncodeNew(_options.ByteLevel ? ByteAlphabet.Encode(piece) : piece, ids);
            _cache.Add(piece, CollectionsMarshal.AsSpan(ids)[before..]);
            return;
        }
        ids.AddRange(known);
    }

    private void EncodeNew(ReadOnlySpan<char> piece, List<int> ids)
    {
        if (_options.IgnoreMerges && _vocabulary.Find(piece) is var whole and >= 0)
        {
            ids.Add(whole);
            return;
        }
        var symbols = new List<int>(piece.Length);
        Characters(piece, symbols);
        new MergeQueue(_merges).Run(symbols, ids);
    }

    /// <summary>Appends the ids of single characters, or of what stands in for those without a token.</summary>
    private void Characters(ReadOnlySpan<char> piece, List<int> symbols)
    {
        bool pendingUnknown = false;
        int at = 0;
        while (at < piece.Length)
        {
            int length = char.IsHighSurrogate(piece[at]) && at + 1 < piece.Length ? 2 : 1;
            ReadOnlySpan<char> character = piece.Slice(at, length);
            int id = IsAffixed ? FindAffixed(character, at == 0, at + length == piece.Length) : _vocabulary.Find(character);
            at += length;
            if (id < 0)
            {
                // The unknown token waits for the next known character; bytes overtake it, as in the original.
                if (AppendBytes(character, symbols) || _options.Unknown < 0) continue;
                if (pendingUnknown && !_options.FuseUnknown) symbols.Add(_options.Unknown);
                pendingUnknown = true;
                continue;
            }
            if (pendingUnknown) symbols.Add(_options.Unknown);
            pendingUnknown = false;
            symbols.Add(id);
        }
        if (pendingUnknown) symbols.Add(_options.Unknown);
    }

    /// <summary>Whether tokens say that they continue or end a word: <c>##ing</c>, <c>ing&lt;/w&gt;</c>.</summary>
    internal bool IsAffixed => _options.ContinuingPrefix.Length > 0 || _options.EndOfWordSuffix.Length > 0;

    private int FindAffixed(ReadOnlySpan<char> character, bool first, bool last) =>
        _vocabulary.Find(string.Concat(first ? "" : _options.ContinuingPrefix, character, last ? _options.EndOfWordSuffix : ""));

    private bool AppendBytes(ReadOnlySpan<char> character, List<int> symbols)
    {
        if (_byteIds is null) return false;
        Span<byte> bytes = stackalloc byte[4];
        bytes = bytes[..Encoding.UTF8.GetBytes(character, bytes)];
        foreach (byte b in bytes)
        {
            if (_byteIds[b] < 0) return false;
        }
        foreach (byte b in bytes) symbols.Add(_byteIds[b]);
        return true;
    }

    private static Dictionary<long, Merge> RankedMerges(Vocabulary vocabulary, TokenPair[] merges, int prefix, string place)
    {
        var ranked = new Dictionary<long, Merge>(merges.Length);
        var joined = new char[2 * vocabulary.Longest];
        int merged = -1;
        for (int rank = 0; rank < merges.Length; rank++)
        {
            TokenPair pair = merges[rank];
            int left = Known(pair.Left), right = Known(pair.Right);
            ReadOnlySpan<char> both = pair.Joined(prefix, joined);
            // Training numbers the tokens as it makes them.
            merged = vocabulary[merged + 1] is { } next && both.SequenceEqual(next) ? merged + 1 : Known(both);
            ranked[Pair(left, right)] = new Merge(rank, merged);    // the last of equals holds, as in the original

            int Known(ReadOnlySpan<char> token) => vocabulary.Find(token) is var id and >= 0 ? id : throw new UnusableInputException(
                $"{place}: merge {rank} ('{Vocabulary.Shown(pair.Left)}' and '{Vocabulary.Shown(pair.Right)}') needs the token '{Vocabulary.Shown(token)}', which is not in the vocabulary");
        }
        return ranked;
    }
}
