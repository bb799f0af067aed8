namespace Nibble.Models.Tokenizers.PreTokenizers;

/// <summary>Cuts at every occurrence of a string.</summary>
public sealed class LiteralSplit(string delimiter, Delimiters delimiters, bool invert) : PreTokenizer
{
    public override string Signature => $"split {delimiters}{(invert ? " inverted" : "")} at '{delimiter}'";

    public override void Split(ReadOnlyMemory<char> text, bool first, List<ReadOnlyMemory<char>> pieces)
    {
        var cut = new Cut(text, delimiters, invert, pieces);
        ReadOnlySpan<char> span = text.Span;
        for (int at = 0; delimiter.Length > 0;)
        {
            int skip = span[at..].IndexOf(delimiter, StringComparison.Ordinal);
            if (skip < 0) break;
            cut.Match(at + skip, at + skip + delimiter.Length);
            at += skip + delimiter.Length;
        }
        cut.Finish();
    }
}
