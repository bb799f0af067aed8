using Nibble.Core.Formats;
using Nibble.Core.Kernels;

namespace Nibble.Models.Decoder;

/// <summary>How a decoder runs; none of it changes what it computes, but for the rounding of inputs and the format of the cache.</summary>
public sealed record DecoderOptions
{
    /// <summary>Tokens that go through the layers together; working memory grows with it.</summary>
    public int BatchSize { get; init; } = 512;

    /// <summary>
    /// The format of cached keys and values; its block must divide the width of a head. Null is F32, or what is read fastest if
    /// <see cref="Fast"/> is set (<see cref="KeyValueRows.Fastest"/>).
    /// </summary>
    public Format? CacheFormat { get; init; }

    /// <summary>What <see cref="CacheFormat"/> comes to.</summary>
    public Format FormatOfCache => CacheFormat ?? (Fast ? KeyValueRows.Fastest : FloatFormat.F32);

    /// <summary>
    /// Stores keys and values rotated by a Hadamard matrix, so that an outlier among their columns does not take the range
    /// from the others; queries are rotated alike and the output of attention back.
    /// </summary>
    public bool RotateCache { get; init; }

    /// <summary>
    /// How the inputs of linear layers are rounded, those of a router excepted; null leaves it to the kernels. One with
    /// static scales rounds nothing until <see cref="DecoderModel.RoundInputs"/> has brought them.
    /// </summary>
    public InputRounding? InputRounding { get; init; }

    /// <summary>
    /// Rounds inputs to bfloat16 where that makes products of many tokens faster
    /// (<see cref="InputRounding.Fastest"/>), attention over many tokens likewise, and keys and values to F16 where those are read faster.
    /// For answers; not where something is measured. A given rounding goes before it, and a given format.
    /// </summary>
    public bool Fast { get; init; }

    /// <summary>Whether attention over many tokens rounds to bfloat16, where that is faster: where inputs of linear layers do, or might.</summary>
    public bool RoundsAttention => InputRounding is null ? Fast : InputRounding == InputRounding.BFloat16 || InputRounding == InputRounding.Mixed;

    /// <summary>Gets a line for a person when something may not be as meant: a context longer than trained.</summary>
    public Action<string>? Warn { get; init; }
}

/// <summary>The tokens whose logits are wanted.</summary>
public enum LogitPositions
{
    /// <summary>Of none: the cache is filled.</summary>
    None,
    /// <summary>Of the last token, [vocabulary].</summary>
    Last,
    /// <summary>Of every token, [tokens, vocabulary].</summary>
    All,
}
