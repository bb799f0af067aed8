using Nibble.Core.Formats;

namespace Nibble.Models.Decoder;

/// <summary>How a decoder runs; none of it changes what it computes, but for the format of the cache.</summary>
public sealed record DecoderOptions
{
    /// <summary>Tokens that go through the layers together; working memory grows with it.</summary>
    public int BatchSize { get; init; } = 512;

    /// <summary>The format of cached keys and values; its block must divide the width of a head.</summary>
    public Format CacheFormat { get; init; } = FloatFormat.F32;

    /// <summary>Gets a line for a person when something may not be as meant: a context longer than trained.</summary>
    public Action<string>? Warn { get; init; }
}

/// <summary>The tokens whose logits are wanted.</summary>
public enum LogitPositions
{
    None,
    Last,
    All,
}
