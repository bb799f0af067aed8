namespace Nibble.Models.Tokenizers.Models;

/// <summary>Turns one piece of text into ids.</summary>
public abstract class TokenModel
{
    /// <summary>Appends the ids of a piece, which is not empty.</summary>
    public abstract void Encode(ReadOnlySpan<char> piece, List<int> ids);
}
