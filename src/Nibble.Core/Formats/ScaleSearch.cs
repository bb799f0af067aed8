using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>
/// Finds the scale of eight groups at once, or of one group by eight trials at once: weights are rounded to codes by a
/// trial scale, least squares gives the best scale for these codes, and that with the least error of all is kept.
/// </summary>
internal ref struct ScaleSearch
{
    private readonly GroupLanes _groups;
    private readonly Vector256<float> _lowest, _highest;

    /// <summary>The best found, and how much of the weighted square of the weights it explains.</summary>
    public Vector256<float> Scale, Gain;

    /// <summary>Of the best: the sum of importance times code squared, which says how the error grows away from it.</summary>
    public Vector256<float> Square;

    public ScaleSearch(GroupLanes groups, int lowest, int highest)
    {
        _groups = groups;
        _lowest = Vector256.Create((float)lowest);
        _highest = Vector256.Create((float)highest);
    }

    /// <summary>Tries a scale, and the scales that least squares then leads to, for so many turns.</summary>
    public void Improve(Vector256<float> scale, int turns)
    {
        Vector256<float> zero = Vector256<float>.Zero;
        for (int turn = 0; turn < turns; turn++)
        {
            CodeSums sums = _groups.Sums(scale, zero, _lowest, _highest);
            scale = Vector256.AndNot(sums.Product / sums.Square, Vector256.Equals(sums.Square, zero));
            Vector256<float> gain = scale * sums.Product, better = Vector256.GreaterThan(gain, Gain);
            Gain = Vector256.ConditionalSelect(better, gain, Gain);
            Scale = Vector256.ConditionalSelect(better, scale, Scale);
            Square = Vector256.ConditionalSelect(better, sums.Square, Square);
        }
    }
}
