using Nibble.Core.Formats;

namespace Nibble.Quantization.Ranges;

/// <summary>
/// The interval that holds a given share of the weights: the rest, half on each side, is clipped. For levels that must be
/// symmetric it is the same share of the magnitudes. Between two weights it interpolates.
/// </summary>
/// <param name="percent">The share inside, above 50 and at most 100.</param>
public sealed class PercentileRange(double percent) : DynamicRange
{
    public const double DefaultPercent = 99.9;

    public override string Name => percent == DefaultPercent ? "percentile" : FormattableString.Invariant($"percentile:{percent}");

    public override (float Low, float High) Choose(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, IQuantizerLevels levels)
    {
        if (weights.IsEmpty) return (0, 0);
        float[] sorted = weights.ToArray();
        if (levels.Symmetric)
        {
            for (int i = 0; i < sorted.Length; i++) sorted[i] = Math.Abs(sorted[i]);
            Array.Sort(sorted);
            float reach = At(sorted, percent / 100);
            return (-reach, reach);
        }
        Array.Sort(sorted);
        double outside = (100 - percent) / 200;
        return (At(sorted, outside), At(sorted, 1 - outside));
    }

    private static float At(float[] sorted, double quantile)
    {
        double place = quantile * (sorted.Length - 1);
        int below = (int)place, above = Math.Min(below + 1, sorted.Length - 1);
        return (float)(sorted[below] + (place - below) * ((double)sorted[above] - sorted[below]));
    }
}
