using Nibble.Core.Formats;

namespace Nibble.Quantization.Ranges;

/// <summary>From the least to the greatest weight: nothing is clipped, and one outlier widens every step.</summary>
public sealed class MinMaxRange : DynamicRange
{
    public override string Name => "min-max";

    public override (float Low, float High) Choose(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, IQuantizerLevels levels) =>
        RangeSearch.Extremes(weights, levels);
}
