namespace Nibble.Core.Formats;

/// <summary>What a format may know when it chooses the parameters of a block.</summary>
public readonly ref struct FitOptions
{
    /// <summary>
    /// How much an error in each weight of the block matters: the mean square of the input that the weight's column
    /// multiplies. As long as the weights, or empty when nothing is known.
    /// </summary>
    public ReadOnlySpan<float> Importance { get; init; }

    /// <summary>How the dynamic range is chosen; null is the format's own default.</summary>
    public DynamicRange? Range { get; init; }

    /// <summary>
    /// True if a format that is a plain rounding in its reference implementation should be just that: when it is asked
    /// for, and by default when nothing is known of importance.
    /// </summary>
    internal bool IsReference => Range == DynamicRange.Reference || (Range is null && Importance.IsEmpty);

    /// <summary>The same options for a part of the weights.</summary>
    public FitOptions Slice(int start, int length) => new()
    {
        Importance = Importance.IsEmpty ? default : Importance.Slice(start, length),
        Range = Range,
    };
}
