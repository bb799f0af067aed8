using Nibble.Core.Formats;

namespace Nibble.Quantization.Ranges;

/// <summary>As far to one side of zero as to the other, to the largest magnitude.</summary>
public sealed class AbsoluteMaximumRange : DynamicRange
{
    public override string Name => "absmax";

    public override (float Low, float High) Choose(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, IQuantizerLevels levels)
    {
        (float low, float high) = RangeSearch.Extremes(weights);
        float reach = Math.Max(Math.Abs(low), Math.Abs(high));
        return (-reach, reach);
    }
}
