namespace Nibble.Models.Tokenizers.Models;

/// <summary>Two tokens to merge, in the text that a file has them in: there are as many as tokens, and none is copied.</summary>
internal readonly record struct TokenPair
{
    private readonly string _text;
    private readonly int _leftLength, _rightAt;

    private TokenPair(string text, int leftLength, int rightAt) => (_text, _leftLength, _rightAt) = (text, leftLength, rightAt);

    /// <summary>Of a text that holds both, with one character between.</summary>
    public static TokenPair Separated(string text, int at) => new(text, at, at + 1);

    public static TokenPair Of(string left, string right) => new(left + right, left.Length, left.Length);

    public ReadOnlySpan<char> Left => _text.AsSpan(0, _leftLength);

    public ReadOnlySpan<char> Right => _text.AsSpan(_rightAt);

    /// <summary>The left token, and the right one but for its first characters.</summary>
    /// <param name="prefix">How many of the right token's characters are left out, if it has so many.</param>
    /// <param name="buffer">Room for both.</param>
    public ReadOnlySpan<char> Joined(int prefix, Span<char> buffer)
    {
        ReadOnlySpan<char> right = Right[Math.Min(prefix, Right.Length)..];
        Left.CopyTo(buffer);
        right.CopyTo(buffer[_leftLength..]);
        return buffer[..(_leftLength + right.Length)];
    }

    public string Joined() => string.Concat(Left, Right);
}
