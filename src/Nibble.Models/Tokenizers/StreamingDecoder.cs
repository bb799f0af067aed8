using System.Text;

namespace Nibble.Models.Tokenizers;

/// <summary>Text from ids that come one by one. Tokens may end within a character; only whole characters come out.</summary>
public sealed class StreamingDecoder
{
    private readonly Tokenizer _tokenizer;
    private readonly System.Text.Decoder _utf8 = Encoding.UTF8.GetDecoder();
    private readonly bool _special;
    private bool _first = true;
    private char[] _chars = new char[64];

    internal StreamingDecoder(Tokenizer tokenizer, bool special) => (_tokenizer, _special) = (tokenizer, special);

    /// <summary>The text that this id completes; empty where a character is still incomplete.</summary>
    public string Push(int id)
    {
        if (!_special && _tokenizer.IsSpecial(id)) return "";
        byte[] bytes = _tokenizer.Piece(id, _first, out _);
        _first = false;
        return Decode(bytes, flush: false);
    }

    /// <summary>What is left at the end of the text: U+FFFD for an incomplete character, else nothing.</summary>
    public string Flush() => Decode([], flush: true);

    private string Decode(ReadOnlySpan<byte> bytes, bool flush)
    {
        int most = bytes.Length + 4;
        if (_chars.Length < most) _chars = new char[most];
        int count = _utf8.GetChars(bytes, _chars, flush);
        return count == 0 ? "" : new string(_chars, 0, count);
    }
}
