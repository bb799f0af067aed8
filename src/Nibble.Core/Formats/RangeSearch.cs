using System.Numerics.Tensors;
using System.Runtime.Intrinsics;

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
    public static (float Low, float High) Extremes(ReadOnlySpan<float> weights)
    {
        if (weights.IsEmpty) return (0, 0);
        float low = weights[0], high = low;
        int i = 0;
        if (Vector256.IsHardwareAccelerated && weights.Length >= 16)
        {
            // Eight running extremes, two registers each, so that a comparison need not wait for the last.
            var lowA = Vector256.Create(weights);
            Vector256<float> lowB = lowA, highA = lowA, highB = lowA;
            for (; i + 16 <= weights.Length; i += 16)
            {
                Vector256<float> a = Vector256.Create(weights.Slice(i, 8)), b = Vector256.Create(weights.Slice(i + 8, 8));
                (lowA, highA) = (Vector256.MinNative(lowA, a), Vector256.MaxNative(highA, a));
                (lowB, highB) = (Vector256.MinNative(lowB, b), Vector256.MaxNative(highB, b));
            }
            lowA = Vector256.MinNative(lowA, lowB);
            highA = Vector256.MaxNative(highA, highB);
            Vector128<float> lows = Vector128.MinNative(lowA.GetLower(), lowA.GetUpper()), highs = Vector128.MaxNative(highA.GetLower(), highA.GetUpper());
            low = Math.Min(Math.Min(lows[0], lows[1]), Math.Min(lows[2], lows[3]));
            high = Math.Max(Math.Max(highs[0], highs[1]), Math.Max(highs[2], highs[3]));
        }
        for (; i < weights.Length; i++) (low, high) = (Math.Min(low, weights[i]), Math.Max(high, weights[i]));
        return (low, high);
    }

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

    /// <summary>Fractions of the two ends at once, about zero or the middle, then golden section around the best.</summary>
    private static void TryFractions(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, IQuantizerLevels levels, ref Candidate best)
    {
        float centre = best.Low < 0 && best.High > 0 ? 0 : best.Low + (best.High - best.Low) / 2;
        float low = best.Low - centre, high = best.High - centre;
        const float Step = 1f / CoarseSteps;
        float at = 1;
        for (int i = 1; i < CoarseSteps; i++)
            if (Try(weights, importance, levels, centre + i * Step * low, centre + i * Step * high, ref best)) at = i * Step;
        float less = at - Step, more = at + Step;
        Golden(weights, importance, levels, (centre + low * less, centre + high * less), (centre + low * more, centre + high * more), ref best);
    }

    /// <summary>Every pair of tenths of the way that the two ends may go: to zero, or to each other where that lies outside.</summary>
    private static void TryPairs(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, IQuantizerLevels levels, ref Candidate best)
    {
        (float low, float high) = (best.Low, best.High);
        (float lowGoal, float highGoal) = low < 0 && high > 0 ? (0, 0) : (high, low);
        for (int i = 0; i < PairSteps; i++)
            for (int j = 0; j < PairSteps; j++)
            {
                float newLow = low + (lowGoal - low) * i / PairSteps, newHigh = high + (highGoal - high) * j / PairSteps;
                if (newLow < newHigh) Try(weights, importance, levels, newLow, newHigh, ref best);
            }
    }

    /// <summary>One end of the best interval, moved between the extreme and the middle: a grid, then golden section.</summary>
    private static void MoveEnd(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, IQuantizerLevels levels,
        bool moveLow, float extreme, ref Candidate best)
    {
        (float low, float high) = (best.Low, best.High);
        float middle = low + (high - low) / 2;
        if (middle == extreme) return;
        float before = moveLow ? low : high, after = before;
        for (int i = 0; i < EndSteps; i++)
        {
            float end = End((float)i / EndSteps);
            if (!Try(weights, importance, levels, moveLow ? end : low, moveLow ? high : end, ref best)) continue;
            before = End((i - 1f) / EndSteps);
            after = End((i + 1f) / EndSteps);
        }
        if (before == after) (before, after) = (before - (middle - extreme) / EndSteps, before + (middle - extreme) / EndSteps);
        if (moveLow) Golden(weights, importance, levels, (before, high), (after, high), ref best);
        else Golden(weights, importance, levels, (low, before), (low, after), ref best);

        float End(float part) => extreme + (middle - extreme) * part;
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
