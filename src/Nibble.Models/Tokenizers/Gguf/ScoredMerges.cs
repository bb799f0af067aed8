using Nibble.Models.Tokenizers.Models;

namespace Nibble.Models.Tokenizers.Gguf;

/// <summary>
/// SentencePiece's BPE has scores instead of a list of merges: any two neighbours may merge whose union is a token, the
/// highest score first, leftmost of equals.
/// </summary>
internal static class ScoredMerges
{
    /// <summary>The table of merges that scores amount to.</summary>
    /// <param name="vocabulary">The tokens.</param>
    /// <param name="scores">The score of each.</param>
    /// <param name="isText">Whether a token may be made of text at all: control tokens may not.</param>
    public static Dictionary<long, BytePairModel.Merge> Table(Vocabulary vocabulary, float[] scores, Func<int, bool> isText)
    {
        int[] byScore = [.. Enumerable.Range(0, vocabulary.Size).OrderByDescending(id => scores[id])];
        var ranks = new int[vocabulary.Size];
        for (int i = 1; i < byScore.Length; i++) ranks[byScore[i]] = ranks[byScore[i - 1]] + (scores[byScore[i]] == scores[byScore[i - 1]] ? 0 : 1);
        var table = new Dictionary<long, BytePairModel.Merge>();
        for (int id = 0; id < vocabulary.Size; id++)
        {
            if (vocabulary[id] is not { } token || !isText(id)) continue;
            foreach ((int left, int right) in Halves(vocabulary, token))
            {
                if (isText(left) && isText(right)) table[BytePairModel.Pair(left, right)] = new BytePairModel.Merge(ranks[id], id);
            }
        }
        return table;
    }

    /// <summary>
    /// The scores that amount to a list of merges, or null where there are none: each token's merges must stand together
    /// in the list, and be all the ways to make it.
    /// </summary>
    public static float[]? Scores(Vocabulary vocabulary, IReadOnlyList<TokenPair> merges)
    {
        var scores = new float[vocabulary.Size];
        var counts = new int[vocabulary.Size];
        int previous = -1, rank = 0;
        foreach (TokenPair merge in merges)
        {
            int id = vocabulary.Find(merge.Joined());
            if (id != previous)
            {
                if (counts[id] > 0) return null;
                scores[id] = -++rank;
            }
            counts[id]++;
            previous = id;
        }
        for (int id = 0; id < vocabulary.Size; id++)
        {
            // Tokens that no merge makes are characters, bytes or added; whoever could be made of two must be in the list.
            if (vocabulary[id] is { } token && Halves(vocabulary, token).Count() != counts[id]) return null;
        }
        return scores;
    }

    private static IEnumerable<(int Left, int Right)> Halves(Vocabulary vocabulary, string token)
    {
        for (int cut = 1; cut < token.Length; cut++)
        {
            int left = vocabulary.Find(token.AsSpan(0, cut)), right = left < 0 ? -1 : vocabulary.Find(token.AsSpan(cut));
            if (right >= 0) yield return (left, right);
        }
    }
}
