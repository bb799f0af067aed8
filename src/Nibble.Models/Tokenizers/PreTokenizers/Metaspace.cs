namespace Nibble.Models.Tokenizers.PreTokenizers;

/// <summary>Puts a space before text that does not begin with one, so that a first word is a word like any other.</summary>
public sealed class PrefixSpace : PreTokenizer
{
    public override string Signature => "prefix space";

    public override void Split(ReadOnlyMemory<char> text, bool first, List<ReadOnlyMemory<char>> pieces) =>
        pieces.Add(text.Span.StartsWith(' ') ? text : string.Concat(" ", text.Span).AsMemory());
}

/// <summary>Where <see cref="Metaspace"/> puts its mark before a text that does not begin with one.</summary>
public enum PrependScheme
{
    Always,

    /// <summary>Only before the whole text, not after an added token.</summary>
    First,
    Never,
}

/// <summary>SentencePiece's way with spaces: they become a visible mark, each at the head of the piece that it begins.</summary>
public sealed class Metaspace(char mark, PrependScheme scheme, bool split) : PreTokenizer
{
    public PrependScheme Scheme => scheme;

    public override string Signature => $"metaspace {mark} {scheme}{(split ? " split" : "")}";

    public override void Split(ReadOnlyMemory<char> text, bool first, List<ReadOnlyMemory<char>> pieces)
    {
        string marked = text.ToString().Replace(' ', mark);
        bool prepend = scheme == PrependScheme.Always || (scheme == PrependScheme.First && first);
        if (prepend && !marked.StartsWith(mark)) marked = mark + marked;
        if (!split)
        {
            pieces.Add(marked.AsMemory());
            return;
        }
        var cut = new Cut(marked.AsMemory(), Delimiters.MergedWithNext, invert: false, pieces);
        for (int at = marked.IndexOf(mark); at >= 0; at = marked.IndexOf(mark, at + 1)) cut.Match(at, at + 1);
        cut.Finish();
    }
}
