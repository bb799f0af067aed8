using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>
/// The search of the two-level symmetric formats: as <see cref="SuperAffineSearch"/>, without minima.
/// </summary>
internal ref struct SuperScaleSearch
{
    private readonly SuperScaleGrid _grid;
    private readonly SuperBlockLanes _block;
    private readonly Vector256<float> _lowest, _highest, _lowestScale, _highestScale;

    // Of each group: its own best scale, and the sum of importance times code squared.
    private PerGroup _scale, _square;

    // The best found.
    private PerGroup _scales;
    private float _d, _error;

    public SuperScaleSearch(SuperBlockLanes block, SuperScaleGrid grid)
    {
        _grid = grid;
        _block = block;
        _lowest = Vector256.Create((float)grid.Lowest);
        _highest = Vector256.Create((float)grid.Highest);
        _lowestScale = Vector256.Create((float)grid.LowestScale);
        _highestScale = Vector256.Create((float)grid.HighestScale);
        _error = float.PositiveInfinity;
    }

    /// <param name="scales">Overwritten, one a group.</param>
    public Half Run(Span<sbyte> scales)
    {
        for (int h = 0; h < _block.Halves; h++) FitGroups(h);
        Measure(NearestMultiples());
        Measure(LeastSquares());
        for (int g = 0; g < scales.Length; g++) scales[g] = (sbyte)_scales.Of(g);
        return _block.ToHalf(_d);
    }

    private void FitGroups(int half)
    {
        // The first trial scale lands the weight of largest magnitude on the lowest code.
        (Vector256<float> low, Vector256<float> high) = _block[half].Interval();
        Vector256<float> first = Vector256.ConditionalSelect(Vector256.GreaterThan(-low, high), low, high) / _lowest;
        var search = new ScaleSearch(_block[half], _grid.Lowest, _grid.Highest);
        foreach (float factor in _grid.Trials) search.Improve(first * factor, turns: 1);
        (_scale[half], _square[half]) = (search.Scale, search.Square);
    }

    /// <summary>The d at whose multiples the error grows least; the largest scale lies near the lowest integer.</summary>
    private readonly float NearestMultiples()
    {
        float largest = 0;
        for (int g = 0; g < SuperScaleGrid.Groups; g++)
            if (MathF.Abs(_scale.Of(g)) > MathF.Abs(largest)) largest = _scale.Of(g);
        float best = float.PositiveInfinity, d = 0;
        foreach (float factor in SuperScaleGrid.Factors)
        {
            float trial = _block.Stored(largest / _grid.LowestScale * factor);
            Vector256<float> growth = default;
            for (int h = 0; h < _block.Halves; h++)
            {
                Vector256<float> rest = Nearest(h, trial) * trial - _scale[h];
                growth += rest * rest * _square[h];
            }
            float total = BlockSearch.Sum(growth);
            if (total < best) (best, d) = (total, trial);
        }
        return d;
    }

    private readonly Vector256<float> Nearest(int half, float d) => Clamp(Vector256.Round(_scale[half] * IntegerCodes.Inverse(d)));

    /// <summary>The best integers around the nearest, by the error of codes rounded anew; kept if they are the best so far.</summary>
    private void Measure(float d)
    {
        const int Reach = 2;
        PerGroup scales = default;
        Vector256<float> error = default;
        for (int h = 0; h < _block.Halves; h++)
        {
            Vector256<float> best = Vector256.Create(float.PositiveInfinity);
            Vector256<float> scale = Clamp(Nearest(h, d) - Vector256.Create((float)Reach));
            for (int i = -Reach; i <= Reach; i++, scale = Clamp(scale + Vector256<float>.One))
            {
                Vector256<float> trial = _block[h].Error(scale * d, Vector256<float>.Zero, _lowest, _highest);
                Vector256<float> better = Vector256.LessThan(trial, best);
                best = Vector256.ConditionalSelect(better, trial, best);
                scales[h] = Vector256.ConditionalSelect(better, scale, scales[h]);
            }
            error += best;
        }
        float total = BlockSearch.Sum(error);
        if (total < _error) (_error, _d, _scales) = (total, d, scales);
    }

    /// <summary>d of least weighted square error over the whole block, for the codes of the best integers.</summary>
    private readonly float LeastSquares()
    {
        Vector256<float> square = default, product = default;
        for (int h = 0; h < _block.Halves; h++)
        {
            Vector256<float> s = _scales[h];
            CodeSums sums = _block[h].Sums(s * _d, Vector256<float>.Zero, _lowest, _highest);
            square += s * s * sums.Square;
            product += s * sums.Product;
        }
        float total = BlockSearch.Sum(square);
        return total == 0 ? _d : _block.Stored(BlockSearch.Sum(product) / total);
    }

    private readonly Vector256<float> Clamp(Vector256<float> scale) => Vector256.Min(Vector256.Max(scale, _lowestScale), _highestScale);
}
