using System.Diagnostics;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>
/// Finds step and zero of eight groups at once, one a lane: weights are rounded to codes by a trial step about a whole zero,
/// least squares gives the best step for these codes, and that with the least error of all is kept.
/// </summary>
internal ref struct LinearSearch
{
    /// <summary>Groups of more weights would leave the first cache.</summary>
    public const int LargestGroup = 256;

    /// <summary>Turns of rounding and least squares that the best trial gets at the end.</summary>
    private const int Turns = 2;

    private readonly GroupLanes _groups;
    private readonly Vector256<float> _top;
    private readonly bool _weighted;

    // The best found, and how much of the weighted square of the weights it explains.
    private Vector256<float> _step, _zero, _gain;

    private LinearSearch(GroupLanes groups, bool weighted, int top)
    {
        _groups = groups;
        _weighted = weighted;
        _top = Vector256.Create((float)top);
    }

    /// <summary>Finds the parameters of up to eight groups that follow each other.</summary>
    /// <param name="weights">The groups.</param>
    /// <param name="importance">As long, or empty.</param>
    /// <param name="bits">2 to 5.</param>
    /// <param name="kind">Symmetric: zero lies in the middle, and a step below zero puts the spare level above.</param>
    /// <param name="steps">One a group.</param>
    /// <param name="lows">One a group: the weight of code 0.</param>
    public static void Find(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, int bits, LinearKind kind, Span<float> steps, Span<float> lows)
    {
        int size = weights.Length / steps.Length;
        Debug.Assert(size <= LargestGroup && size % 2 == 0 && steps.Length <= GroupLanes.Lanes);
        if (steps.Length < GroupLanes.Lanes)
        {
            FindFew(weights, importance, bits, kind, steps, lows);
            return;
        }
        var lanes = new GroupLanes(stackalloc Vector256<float>[2 * size]);
        Vector256<float> unit = lanes.TransposeEach(weights, importance);
        if (kind == LinearKind.Minimum)
        {
            AffineSearch affine = WithMinimum(lanes, bits, !importance.IsEmpty);
            (affine.Scale / unit).CopyTo(steps);
            (affine.Offset / unit).CopyTo(lows);
            return;
        }
        var search = new LinearSearch(lanes, !importance.IsEmpty, (1 << bits) - 1);
        if (kind == LinearKind.Symmetric) search.Symmetric(bits);
        else search.WithZeroPoint(bits);
        Vector256<float> step = search._step / unit;
        step.CopyTo(steps);
        (-search._zero * step).CopyTo(lows);
    }

    /// <summary>The other lanes hold zeros.</summary>
    private static void FindFew(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, int bits, LinearKind kind, Span<float> steps, Span<float> lows)
    {
        int all = weights.Length / steps.Length * GroupLanes.Lanes;
        Span<float> padded = stackalloc float[all], paddedImportance = stackalloc float[importance.IsEmpty ? 0 : all];
        Span<float> allSteps = stackalloc float[GroupLanes.Lanes], allLows = stackalloc float[GroupLanes.Lanes];
        weights.CopyTo(padded);
        importance.CopyTo(paddedImportance);
        Find(padded, paddedImportance, bits, kind, allSteps, allLows);
        allSteps[..steps.Length].CopyTo(steps);
        allLows[..steps.Length].CopyTo(lows);
    }

    /// <summary>First steps, as parts of the one whose codes just reach the outermost weights: the fewer the levels, the more is cut off.</summary>
    private static ReadOnlySpan<float> Parts(int bits) => bits switch
    {
        2 => [0.95f, 0.85f, 0.77f, 0.7f, 0.63f, 0.56f],
        3 => [0.97f, 0.92f, 0.87f, 0.82f, 0.77f, 0.72f],
        _ => [1.02f, 0.99f, 0.96f, 0.93f, 0.9f, 0.87f],
    };

    /// <summary>More of them, of each end, where the outermost weights may not matter.</summary>
    private static ReadOnlySpan<float> EndParts => [1, 0.88f, 0.76f, 0.64f, 0.52f, 0.4f, 0.28f];

    private void WithZeroPoint(int bits)
    {
        (Vector256<float> low, Vector256<float> high) = _groups.Interval();
        (low, high) = (Vector256.Min(low, Vector256<float>.Zero), Vector256.Max(high, Vector256<float>.Zero));
        foreach (float part in Parts(bits)) TryRange(low, high, part, part);
        if (_weighted)
            foreach (float lowPart in EndParts)
                foreach (float highPart in EndParts) TryRange(low, high, lowPart, highPart);
        (Vector256<float> step, Vector256<float> zero) = (_step, _zero);
        Try(step, Vector256.Min(zero + Vector256<float>.One, _top));
        Try(step, Vector256.Max(zero - Vector256<float>.One, Vector256<float>.Zero));
        for (int turn = 0; turn < Turns; turn++) Try(_step, _zero);
    }

    /// <summary>Any weight may be code 0: least squares finds the minimum with the step.</summary>
    private static AffineSearch WithMinimum(GroupLanes groups, int bits, bool weighted)
    {
        var search = new AffineSearch(groups, (1 << bits) - 1, offsetBelowZero: false);
        (Vector256<float> low, Vector256<float> high) = search.Interval();
        Vector256<float> width = high - low;
        Vector256<float> cell = width / Vector256.Create((float)((1 << bits) - 1));
        foreach (float lowCut in Cuts(bits))
            foreach (float highCut in Cuts(bits)) search.FromRange(low + cell * lowCut, high - cell * highCut, turns: 1);
        if (weighted)
            foreach (float lowCut in EndCuts)
                foreach (float highCut in EndCuts) search.FromRange(low + width * lowCut, high - width * highCut, turns: 1);
        search.FromScale(search.Scale, search.Offset, Turns);
        return search;
    }

    /// <summary>Steps that the first ranges cut off at each end.</summary>
    private static ReadOnlySpan<float> Cuts(int bits) => bits switch
    {
        2 => [0.2f, 0.4f, 0.6f, 0.8f],
        3 => [0, 0.27f, 0.53f, 0.8f],
        4 => [-0.2f, 0.13f, 0.47f, 0.8f],
        _ => [-0.6f, -0.2f, 0.2f, 0.6f],
    };

    /// <summary>Parts of the interval that may be cut off at either end, where the outermost weights may not matter.</summary>
    private static ReadOnlySpan<float> EndCuts => [0, 0.06f, 0.12f, 0.18f, 0.24f, 0.3f, 0.36f];

    private void Symmetric(int bits)
    {
        (Vector256<float> low, Vector256<float> high) = _groups.Interval();
        Vector256<float> extreme = Vector256.ConditionalSelect(Vector256.GreaterThan(high, -low), high, low);
        Vector256<float> zero = Vector256.Create((float)(1 << bits >> 1)), first = extreme / -zero;
        foreach (float part in Parts(bits)) Try(first * part, zero);
        if (_weighted)
            foreach (float part in EndParts) Try(first * part, zero);
        for (int turn = 0; turn < Turns; turn++) Try(_step, zero);
    }

    /// <summary>Tries parts of both ends.</summary>
    private void TryRange(Vector256<float> low, Vector256<float> high, float lowPart, float highPart)
    {
        (low, high) = (low * lowPart, high * highPart);
        Vector256<float> step = (high - low) / _top;
        Try(step, Vector256.Round(-low * GroupLanes.Inverse(step)));
    }

    /// <summary>Tries a step, and keeps the one that least squares makes of it if that is the best so far.</summary>
    private void Try(Vector256<float> step, Vector256<float> zero)
    {
        (Vector256<float> product, Vector256<float> square) = _groups.Products(GroupLanes.Inverse(step), -zero, _top - zero, _weighted);
        step = Vector256.AndNot(product / square, Vector256.Equals(square, Vector256<float>.Zero));
        Vector256<float> gain = step * product, better = Vector256.GreaterThan(gain, _gain);
        _gain = Vector256.ConditionalSelect(better, gain, _gain);
        _step = Vector256.ConditionalSelect(better, step, _step);
        _zero = Vector256.ConditionalSelect(better, zero, _zero);
    }
}
