using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>
/// The search of the two-level affine formats. First every group's own best scale and offset (<see cref="AffineSearch"/>);
/// then the d and dmin whose multiples come nearest to them, nearness being the growth of the weighted error; then the
/// integers around, measured with codes rounded anew against what would be stored; then d and dmin by least squares over
/// the whole block, and the integers once more.
/// </summary>
internal ref struct SuperAffineSearch
{
    private const int Turns = 2;

    private readonly SuperAffineGrid _grid;
    private readonly SuperBlockLanes _block;
    private readonly Vector256<float> _highest, _highestScale;

    // Of each group: its own best scale and offset; the sums of importance, of importance times code (and the mean code),
    // and of importance times code squared, which say how the error grows away from them.
    private PerGroup _scale, _offset, _importance, _code, _meanCode, _square;

    // The best found.
    private PerGroup _scales, _minima;
    private float _d, _dmin, _error;

    public SuperAffineSearch(SuperBlockLanes block, SuperAffineGrid grid)
    {
        _grid = grid;
        _block = block;
        _highest = Vector256.Create((float)grid.Highest);
        _highestScale = Vector256.Create((float)grid.HighestScale);
        _error = float.PositiveInfinity;
    }

    /// <param name="scales">Overwritten, one a group.</param>
    /// <param name="minima">Overwritten, one a group.</param>
    public (Half D, Half DMin) Run(Span<byte> scales, Span<byte> minima)
    {
        for (int h = 0; h < _block.Halves; h++) FitGroups(h);
        (float d, float dmin) = NearestMultiples(scales.Length);
        Measure(d, dmin);
        (d, dmin) = LeastSquares();
        Measure(d, dmin);
        for (int g = 0; g < scales.Length; g++)
        {
            scales[g] = (byte)_scales.Of(g);
            minima[g] = (byte)_minima.Of(g);
        }
        return (_block.ToHalf(_d), _block.ToHalf(_dmin));
    }

    private void FitGroups(int half)
    {
        var search = new AffineSearch(_block[half], _grid.Highest, offsetBelowZero: true);
        (Vector256<float> lowest, Vector256<float> highest) = search.Interval();
        Vector256<float> code = (highest - lowest) / _highest;
        foreach (float first in _grid.FirstMoves)
            foreach (float last in _grid.FirstMoves)
                search.FromRange(lowest + code * first, highest - code * last, Turns);
        CodeSums sums = _block[half].Sums(search.Scale, search.Offset, Vector256<float>.Zero, _highest);
        (_scale[half], _offset[half], _importance[half]) = (search.Scale, search.Offset, search.Moments.Importance);
        (_code[half], _square[half], _meanCode[half]) = (sums.Code, sums.Square, sums.Code / search.Moments.Importance);
    }

    /// <summary>d, and for it dmin, at which the error grows least.</summary>
    private readonly (float D, float DMin) NearestMultiples(int groups)
    {
        float largestScale = 0, largestMinimum = 0;
        for (int g = 0; g < groups; g++)
        {
            largestScale = MathF.Max(largestScale, _scale.Of(g));
            largestMinimum = MathF.Max(largestMinimum, -_offset.Of(g));
        }
        float d = largestScale / _grid.HighestScale, dmin = largestMinimum / _grid.HighestScale;
        ReadOnlySpan<float> factors = SuperAffineGrid.Factors;
        float dminFirst = _block.Stored(dmin), best = float.PositiveInfinity, bestD = 0, bestDMin = 0;
        foreach (float factor in factors)
        {
            float trial = _block.Stored(d * factor), growth = Growth(trial, dminFirst);
            if (growth < best) (best, bestD) = (growth, trial);
        }
        best = float.PositiveInfinity;
        foreach (float factor in factors)
        {
            float trial = _block.Stored(dmin * factor), growth = Growth(bestD, trial);
            if (growth < best) (best, bestDMin) = (growth, trial);
        }
        return (bestD, bestDMin);
    }

    private readonly float Growth(float d, float dmin)
    {
        Vector256<float> growth = default;
        for (int h = 0; h < _block.Halves; h++) growth += Nearest(h, d, dmin).Growth;
        return BlockSearch.Sum(growth);
    }

    /// <summary>Each group's integers nearest to its own scale and offset: of the scales above and below, the better.</summary>
    private readonly (Vector256<float> Scale, Vector256<float> Growth) Nearest(int half, float d, float dmin)
    {
        Vector256<float> below = Vector256.Min(Vector256.Floor(_scale[half] * IntegerCodes.Inverse(d)), _highestScale);
        Vector256<float> above = Vector256.Min(below + Vector256<float>.One, _highestScale);
        Vector256<float> growthBelow = Growth(half, below, Minimum(half, below, d, dmin), d, dmin);
        Vector256<float> growthAbove = Growth(half, above, Minimum(half, above, d, dmin), d, dmin);
        return (Vector256.ConditionalSelect(Vector256.LessThan(growthAbove, growthBelow), above, below), Vector256.Min(growthAbove, growthBelow));
    }

    /// <summary>The minimum that makes up best for a scale other than the group's own: codes keep their mean.</summary>
    private readonly Vector256<float> Minimum(int half, Vector256<float> scale, float d, float dmin)
    {
        Vector256<float> exact = (scale * d - _scale[half]) * _meanCode[half] - _offset[half];
        return Clamp(Vector256.Round(exact * IntegerCodes.Inverse(dmin)));
    }

    /// <summary>How much larger the error is than at the group's own scale and offset, for the same codes.</summary>
    private readonly Vector256<float> Growth(int half, Vector256<float> scale, Vector256<float> minimum, float d, float dmin)
    {
        Vector256<float> more = scale * d - _scale[half], shift = minimum * -dmin - _offset[half];
        return more * more * _square[half] + shift * (2 * more * _code[half] + shift * _importance[half]);
    }

    /// <summary>The best integers around the nearest, by the error of codes rounded anew; kept if they are the best so far.</summary>
    private void Measure(float d, float dmin)
    {
        PerGroup scales = default, minima = default;
        Vector256<float> error = default;
        for (int h = 0; h < _block.Halves; h++)
        {
            Vector256<float> best = Vector256.Create(float.PositiveInfinity);
            Vector256<float> scale = Clamp(Nearest(h, d, dmin).Scale - Vector256<float>.One);
            for (int i = 0; i < 3; i++, scale = Clamp(scale + Vector256<float>.One))
            {
                Vector256<float> minimum = Clamp(Minimum(h, scale, d, dmin) - Vector256<float>.One);
                for (int k = 0; k < 3; k++, minimum = Clamp(minimum + Vector256<float>.One))
                {
                    Vector256<float> trial = _block[h].Error(scale * d, minimum * -dmin, Vector256<float>.Zero, _highest);
                    Vector256<float> better = Vector256.LessThan(trial, best);
                    best = Vector256.ConditionalSelect(better, trial, best);
                    scales[h] = Vector256.ConditionalSelect(better, scale, scales[h]);
                    minima[h] = Vector256.ConditionalSelect(better, minimum, minima[h]);
                }
            }
            error += best;
        }
        float total = BlockSearch.Sum(error);
        if (total < _error) (_error, _d, _dmin, _scales, _minima) = (total, d, dmin, scales, minima);
    }

    /// <summary>d and dmin of least weighted square error over the whole block, for the codes of the best integers.</summary>
    private readonly (float D, float DMin) LeastSquares()
    {
        Vector256<float> ss = default, sm = default, mm = default, sx = default, mx = default;
        for (int h = 0; h < _block.Halves; h++)
        {
            Vector256<float> s = _scales[h], m = -_minima[h];
            CodeSums sums = _block[h].Sums(s * _d, m * _dmin, Vector256<float>.Zero, _highest);
            Moments moments = _block[h].Moments();
            ss += s * s * sums.Square;
            sm += s * m * sums.Code;
            mm += m * m * moments.Importance;
            sx += s * sums.Product;
            mx += m * moments.Weight;
        }
        double a = BlockSearch.Sum(ss), b = BlockSearch.Sum(sm), c = BlockSearch.Sum(mm), x = BlockSearch.Sum(sx), y = BlockSearch.Sum(mx);
        double determinant = a * c - b * b;
        if (determinant <= 1e-9 * a * c) return (_d, _dmin);
        double d = (c * x - b * y) / determinant, dmin = (a * y - b * x) / determinant;
        return (_block.Stored(MathF.Max(0, (float)d)), _block.Stored(MathF.Max(0, (float)dmin)));
    }

    private readonly Vector256<float> Clamp(Vector256<float> scale) =>
        Vector256.Min(Vector256.Max(scale, Vector256<float>.Zero), _highestScale);
}
