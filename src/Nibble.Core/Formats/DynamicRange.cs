namespace Nibble.Core.Formats;

/// <summary>
/// How the dynamic range of a block is chosen: from which interval of real numbers the levels of a quantizer are taken.
/// The rules live in Nibble.Quantization/Ranges, one a file; a format calls the one it is given.
/// </summary>
public abstract class DynamicRange
{
    /// <summary>The name on the command line (<c>--range</c>).</summary>
    public abstract string Name { get; }

    /// <summary>
    /// The interval [low, high] that a quantizer of the given levels should cover for these weights.
    /// </summary>
    /// <param name="weights">The weights that share the range.</param>
    /// <param name="importance">As long as the weights, or empty.</param>
    /// <param name="levels">What the quantizer would make of a weight under a range.</param>
    public abstract (float Low, float High) Choose(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, IQuantizerLevels levels);

    /// <summary>
    /// The plain rounding of the format's reference implementation, byte for byte. A format that has no reference treats
    /// it as its default.
    /// </summary>
    public static readonly DynamicRange Reference = new ReferenceRange();

    private sealed class ReferenceRange : DynamicRange
    {
        public override string Name => "reference";

        public override (float Low, float High) Choose(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, IQuantizerLevels levels)
        {
            float low = 0, high = 0;
            foreach (float w in weights)
            {
                low = Math.Min(low, w);
                high = Math.Max(high, w);
            }
            return (low, high);
        }
    }
}

/// <summary>The levels of a scalar quantizer, laid over an interval.</summary>
public interface IQuantizerLevels
{
    /// <summary>The number of levels.</summary>
    int Count { get; }

    /// <summary>True if the interval must be symmetric about zero.</summary>
    bool Symmetric { get; }

    /// <summary>The value that a weight becomes when the levels are laid over [low, high].</summary>
    float Round(float weight, float low, float high);

    /// <summary>
    /// The sum of the squared errors of rounding when the levels are laid over [low, high], each times its importance
    /// unless that is empty. A search asks this of every candidate.
    /// </summary>
    double Error(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, float low, float high)
    {
        double sum = 0;
        for (int i = 0; i < weights.Length; i++)
        {
            double error = weights[i] - Round(weights[i], low, high);
            sum += importance.IsEmpty ? error * error : error * error * importance[i];
        }
        return sum;
    }

    /// <summary>The interval of least <see cref="Error"/>; levels that know a shorter way than the general search take it.</summary>
    (float Low, float High) LeastSquares(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance) =>
        RangeSearch.LeastSquares(weights, importance, this);
}
