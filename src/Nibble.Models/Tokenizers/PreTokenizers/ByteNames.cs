namespace Nibble.Models.Tokenizers.PreTokenizers;

/// <summary>Turns text into the characters of its bytes, where more cutting follows; else the model does it.</summary>
public sealed class ByteNames : PreTokenizer
{
    public override string Signature => "bytes";

    public override void Split(ReadOnlyMemory<char> text, bool first, List<ReadOnlyMemory<char>> pieces) =>
        pieces.Add(ByteAlphabet.Encode(text.Span).AsMemory());
}
