using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>
/// Finds scale and offset of eight groups at once: from several first ranges, rounding to codes and weighted least squares
/// of scale and offset take turns, and the best of all is kept.
/// </summary>
internal ref struct AffineSearch
{
    private readonly GroupLanes _groups;
    private readonly Moments _moments;
    private readonly Vector256<float> _highest, _mean;
    private readonly bool _offsetBelowZero;

    /// <summary>The best found.</summary>
    public Vector256<float> Scale, Offset, Error;

    /// <param name="groups">Eight groups.</param>
    /// <param name="highest">Codes reach from 0 to here.</param>
    /// <param name="offsetBelowZero">True if the format stores no offset above zero.</param>
    public AffineSearch(GroupLanes groups, int highest, bool offsetBelowZero)
    {
        _groups = groups;
        _highest = Vector256.Create((float)highest);
        _offsetBelowZero = offsetBelowZero;
        _moments = groups.Moments();
        _mean = _moments.Weight / _moments.Importance;
        Error = Vector256.Create(float.PositiveInfinity);
    }

    public readonly Moments Moments => _moments;

    /// <summary>The interval that the codes must cover: that of the weights, with zero where the offset is bound.</summary>
    public readonly (Vector256<float> Lowest, Vector256<float> Highest) Interval()
    {
        (Vector256<float> lowest, Vector256<float> highest) = _groups.Interval();
        return _offsetBelowZero
            ? (Vector256.Min(lowest, Vector256<float>.Zero), Vector256.Max(highest, Vector256<float>.Zero))
            : (lowest, highest);
    }

    /// <summary>Rounding and least squares in turns, beginning with codes laid over a range.</summary>
    public void FromRange(Vector256<float> low, Vector256<float> high, int turns) => FromScale((high - low) / _highest, low, turns);

    /// <summary>Rounding and least squares in turns, beginning with a scale and an offset.</summary>
    public void FromScale(Vector256<float> scale, Vector256<float> offset, int turns)
    {
        for (int turn = 0; turn < turns; turn++)
        {
            CodeSums sums = _groups.Sums(scale, offset, Vector256<float>.Zero, _highest);
            (scale, offset) = Solve(sums);
            Vector256<float> error = _moments.Square - scale * sums.Product - offset * _moments.Weight;
            Vector256<float> better = Vector256.LessThan(error, Error);
            Error = Vector256.ConditionalSelect(better, error, Error);
            Scale = Vector256.ConditionalSelect(better, scale, Scale);
            Offset = Vector256.ConditionalSelect(better, offset, Offset);
        }
    }

    /// <summary>The scale and offset of least weighted square error for given codes.</summary>
    private readonly (Vector256<float> Scale, Vector256<float> Offset) Solve(CodeSums sums)
    {
        Vector256<float> zero = Vector256<float>.Zero, weighted = _moments.Importance * sums.Square;
        Vector256<float> determinant = weighted - sums.Code * sums.Code, inverse = Vector256<float>.One / determinant;
        Vector256<float> scale = (_moments.Importance * sums.Product - _moments.Weight * sums.Code) * inverse;
        Vector256<float> offset = (sums.Square * _moments.Weight - sums.Code * sums.Product) * inverse;
        // Equal codes leave the scale open: then it is 0 and the offset is the mean.
        Vector256<float> open = Vector256.LessThanOrEqual(determinant, 1e-6f * weighted);
        scale = Vector256.ConditionalSelect(open, zero, scale);
        offset = Vector256.ConditionalSelect(open, _mean, offset);
        if (_offsetBelowZero && Vector256.GreaterThanAny(offset, zero))
        {
            Vector256<float> above = Vector256.GreaterThan(offset, zero);
            Vector256<float> through = Vector256.AndNot(sums.Product / sums.Square, Vector256.Equals(sums.Square, zero));
            scale = Vector256.ConditionalSelect(above, through, scale);
            offset = Vector256.ConditionalSelect(above, zero, offset);
        }
        return (Vector256.Max(scale, zero), offset);
    }
}
