using System.Numerics.Tensors;

namespace Nibble.Core.Formats;

/// <summary>
/// Searches for the interval that loses least. The range rules of Nibble.Quantization are built from it, and formats of few
/// bits search by themselves where no rule is named.
/// </summary>
public static class RangeSearch
{
    private const int CoarseSteps = 20;
    private const int PairSteps = 10;

    /// <summary>With no more levels than this the two ends depend on each other, and the grid is over both.</summary>
    private const int FewLevels = 16;

    private const int EndSteps = 10;
    private const int FineSteps = 6;

    /// <summary>The least and the greatest weight.</summary>
    public static (float Low, float High) Extremes(ReadOnlySpan<float> weights) =>
        weights.IsEmpty ? (0, 0) : (TensorPrimitives.Min(weights), TensorPrimitives.Max(weights));

    /// <summary>The interval from the least to the greatest weight, made symmetric where the levels must be.</summary>
    public static (float Low, float High) Extremes(ReadOnlySpan<float> weights, IQuantizerLevels levels)
    {
        (float low, float high) = Extremes(weights);
        if (!levels.Symmetric) return (low, high);
        float reach = Math.Max(Math.Abs(low), Math.Abs(high));
        return (-reach, reach);
    }

    /// <summary>
    /// The interval of least squared error, each square times its importance where any weight has one: a grid of fractions of the
    /// extremes, then golden section between the best's neighbours; for levels that need no symmetry then the same for each
    /// end by itself, and with few of them the first grid is over both ends.
    /// </summary>
    public static (float Low, float High) LeastSquares(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, IQuantizerLevels levels)
    {
        if (!importance.IsEmpty && TensorPrimitives.Max(importance) <= 0) importance = [];
        (float low, float high) = Extremes(weights, levels);
        var best = new Candidate(low, high, levels.Error(weights, importance, low, high));
        if (best.Error == 0) return (low, high);
        if (levels.Symmetric || levels.Count > FewLevels) TryFractions(weights, importance, levels, ref best);
        else TryPairs(weights, importance, levels, ref best);
        if (levels.Symmetric) return (best.Low, best.High);
        MoveEnd(weights, importance, levels, moveLow: true, low, ref best);
        MoveEnd(weights, importance, levels, moveLow: false, high, ref best);
        return (best.Low, best.High);
    }

    /// <summary>Fractions of the two ends at once, then golden section around the best.</summary>
    private static void TryFractions(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, IQuantizerLevels levels, ref Candidate best)
    {
        (float low, float high) = (best.Low, best.High);
        const float Step = 1f / CoarseSteps;
        float at = 1;
        for (int i = 1; i < CoarseSteps; i++)
            if (Try(weights, importance, levels, i * Step * low, i * Step * high, ref best)) at = i * Step;
        Golden(weights, importance, levels, (low * (at - Step), high * (at - Step)), (low * (at + Step), high * (at + Step)), ref best);
    }

    /// <summary>Every pair of tenths of the two ends.</summary>
    private static void TryPairs(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, IQuantizerLevels levels, ref Candidate best)
    {
        (float low, float high) = (best.Low, best.High);
        for (int i = 1; i <= PairSteps; i++)
            for (int j = 1; j <= PairSteps; j++)
                if (i != j) Try(weights, importance, levels, low * i / PairSteps, high * j / PairSteps, ref best);
    }

    /// <summary>One end of the best interval, moved between the extreme and the middle.</summary>
    private static void MoveEnd(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, IQuantizerLevels levels,
        bool moveLow, float extreme, ref Candidate best)
    {
        (float low, float high) = (best.Low, best.High);
        float middle = low + (high - low) / 2, step = (middle - extreme) / EndSteps;
        if (step == 0) return;
        float at = moveLow ? low : high;
        for (int i = 0; i < EndSteps; i++)
        {
            float end = extreme + i * step;
            if (Try(weights, importance, levels, moveLow ? end : low, moveLow ? high : end, ref best)) at = end;
        }
        (float, float) from = moveLow ? (at - step, high) : (low, at - step);
        (float, float) to = moveLow ? (at + step, high) : (low, at + step);
        Golden(weights, importance, levels, from, to, ref best);
    }

    /// <summary>Golden section along the line between two intervals.</summary>
    private static void Golden(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, IQuantizerLevels levels,
        (float Low, float High) from, (float Low, float High) to, ref Candidate best)
    {
        const float Ratio = 0.618034f;
        float a = 0, b = 1, left = 1 - Ratio, right = Ratio;
        double errorLeft = At(weights, importance, levels, from, to, left, ref best);
        double errorRight = At(weights, importance, levels, from, to, right, ref best);
        for (int i = 0; i < FineSteps; i++)
        {
            if (errorLeft < errorRight)
            {
                (b, right, errorRight) = (right, left, errorLeft);
                left = b - Ratio * (b - a);
                errorLeft = At(weights, importance, levels, from, to, left, ref best);
            }
            else
            {
                (a, left, errorLeft) = (left, right, errorRight);
                right = a + Ratio * (b - a);
                errorRight = At(weights, importance, levels, from, to, right, ref best);
            }
        }
    }

    private static double At(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, IQuantizerLevels levels,
        (float Low, float High) from, (float Low, float High) to, float t, ref Candidate best)
    {
        float low = from.Low + t * (to.Low - from.Low), high = from.High + t * (to.High - from.High);
        double error = levels.Error(weights, importance, low, high);
        if (error < best.Error) best = new Candidate(low, high, error);
        return error;
    }

    private static bool Try(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, IQuantizerLevels levels,
        float low, float high, ref Candidate best)
    {
        double error = levels.Error(weights, importance, low, high);
        if (!(error < best.Error)) return false;
        best = new Candidate(low, high, error);
        return true;
    }

    private readonly record struct Candidate(float Low, float High, double Error);
}
