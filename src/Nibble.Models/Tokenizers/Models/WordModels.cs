namespace Nibble.Models.Tokenizers.Models;

/// <summary>
/// WordPiece (Schuster and Nakajima 2012), as BERT uses it: the longest token that the rest of the word begins with, and
/// so on; a word that cannot be finished so is unknown.
/// </summary>
/// <param name="vocabulary">The tokens.</param>
/// <param name="unknown">The id of the token for unknown words.</param>
/// <param name="prefix">What begins the tokens that continue a word.</param>
/// <param name="longestWord">Words of more characters are unknown.</param>
public sealed class WordPieceModel(Vocabulary vocabulary, int unknown, string prefix, int longestWord) : TokenModel
{
    public override void Encode(ReadOnlySpan<char> piece, List<int> ids)
    {
        int before = ids.Count, characters = 0;
        foreach (System.Text.Rune _ in piece.EnumerateRunes()) characters++;
        int start = 0;
        while (start < piece.Length && characters <= longestWord)
        {
            int end = (int)Math.Min(piece.Length, (long)start + vocabulary.Longest), id = -1;
            for (; end > start; end--)
            {
                id = start == 0 ? vocabulary.Find(piece[..end]) : vocabulary.Find(string.Concat(prefix, piece[start..end]));
                if (id >= 0) break;
            }
            if (id < 0) break;
            ids.Add(id);
            start = end;
        }
        if (start == piece.Length) return;
        ids.RemoveRange(before, ids.Count - before);
        ids.Add(unknown);
    }
}

/// <summary>A word is a token or unknown.</summary>
public sealed class WordLevelModel(Vocabulary vocabulary, int unknown) : TokenModel
{
    public override void Encode(ReadOnlySpan<char> piece, List<int> ids) => ids.Add(vocabulary.Find(piece) is var id and >= 0 ? id : unknown);
}
