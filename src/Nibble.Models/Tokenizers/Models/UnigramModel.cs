using System.Text;
using Nibble.Core;

namespace Nibble.Models.Tokenizers.Models;

/// <summary>
/// The unigram language model (Kudo 2018): of all ways to cut a piece into tokens, the one whose log-probabilities sum
/// highest, found by Viterbi's dynamic programme.
/// </summary>
public sealed class UnigramModel : TokenModel
{
    private const double UnknownPenalty = 10;            // below the rarest token, as SentencePiece sets it

    private readonly Vocabulary _vocabulary;
    private readonly double[] _scores;
    private readonly int _unknown;
    private readonly double _unknownScore;
    private readonly int[]? _byteIds;
    private readonly Dictionary<(int Node, char Next), int> _edges = [];
    private readonly List<int> _ends = [-1];
    private readonly PieceCache _cache = new();

    /// <param name="vocabulary">The tokens.</param>
    /// <param name="scores">The log-probability of each.</param>
    /// <param name="unknown">The token for characters outside the vocabulary, or -1.</param>
    /// <param name="byteFallback">Whether such characters become the tokens &lt;0xXX&gt; of their bytes where those exist.</param>
    public UnigramModel(Vocabulary vocabulary, double[] scores, int unknown, bool byteFallback)
    {
        _vocabulary = vocabulary;
        _scores = scores;
        _unknown = unknown;
        _unknownScore = scores.DefaultIfEmpty().Min() - UnknownPenalty;
        if (byteFallback) _byteIds = [.. Enumerable.Range(0, 256).Select(b => vocabulary.Find($"<0x{b:X2}>"))];
        for (int id = 0; id < vocabulary.Size; id++)
        {
            if (vocabulary[id] is { Length: > 0 } token) AddToTrie(token, id);
        }
    }

    /// <exception cref="UnusableInputException">A character is unknown, and the tokenizer has no token for that.</exception>
    public override void Encode(ReadOnlySpan<char> piece, List<int> ids)
    {
        if (_cache.TryGet(piece, out int[] known))
        {
            ids.AddRange(known);
            return;
        }
        int before = ids.Count;
        Step[] best = BestSteps(piece);
        var cuts = new List<(int Start, int End, int Id)>();
        for (int end = piece.Length; end > 0; end = best[end].Start) cuts.Add((best[end].Start, end, best[end].Id));
        cuts.Reverse();
        for (int i = 0; i < cuts.Count;)
        {
            // Unknown characters in a row are one unknown.
            (int start, int end, int id) = cuts[i++];
            while (id == _unknown && i < cuts.Count && cuts[i].Id == _unknown) end = cuts[i++].End;
            if (id == _unknown) Unknown(piece[start..end], ids);
            else ids.Add(id);
        }
        _cache.Add(piece, System.Runtime.InteropServices.CollectionsMarshal.AsSpan(ids)[before..]);
    }

    private record struct Step(double Score, int Start, int Id);

    /// <summary>For every place in the piece the last token of the best way to get there.</summary>
    private Step[] BestSteps(ReadOnlySpan<char> piece)
    {
        var best = new Step[piece.Length + 1];
        best.AsSpan().Fill(new Step(double.NegativeInfinity, -1, -1));
        best[0].Score = 0;
        for (int start = 0; start < piece.Length;)
        {
            int single = char.IsHighSurrogate(piece[start]) && start + 1 < piece.Length ? 2 : 1;
            bool hasSingle = false;
            int node = 0;
            for (int end = start; end < piece.Length && _edges.TryGetValue((node, piece[end]), out node); end++)
            {
                if (_ends[node] < 0) continue;
                Offer(best, start, end + 1, _ends[node], _scores[_ends[node]]);
                hasSingle |= end + 1 - start == single;
            }
            if (!hasSingle) Offer(best, start, start + single, _unknown, _unknownScore);
            start += single;
        }
        return best;
    }

    private static void Offer(Step[] best, int start, int end, int id, double score)
    {
        double total = best[start].Score + score;
        if (best[end].Start < 0 || total > best[end].Score) best[end] = new Step(total, start, id);
    }

    private void Unknown(ReadOnlySpan<char> text, List<int> ids)
    {
        if (_vocabulary.Find(text) is var whole and >= 0)
        {
            ids.Add(whole);
            return;
        }
        if (_byteIds is not null)
        {
            byte[] bytes = new byte[Encoding.UTF8.GetByteCount(text)];
            Encoding.UTF8.GetBytes(text, bytes);
            if (Array.TrueForAll(bytes, b => _byteIds[b] >= 0))
            {
                foreach (byte b in bytes) ids.Add(_byteIds[b]);
                return;
            }
        }
        if (_unknown < 0) throw new UnusableInputException($"the tokenizer has no token for '{Vocabulary.Shown(text.ToString())}', and none for unknown characters (unk_id)");
        ids.Add(_unknown);
    }

    private void AddToTrie(string token, int id)
    {
        int node = 0;
        foreach (char c in token)
        {
            if (!_edges.TryGetValue((node, c), out int next))
            {
                _edges[(node, c)] = next = _ends.Count;
                _ends.Add(-1);
            }
            node = next;
        }
        _ends[node] = id;
    }
}
