using System.Numerics;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>A finite set of points in 4 or 8 dimensions; a code of a lattice format is a point's place among them.</summary>
internal sealed class Lattice
{
    private readonly sbyte[] _levels;
    private readonly float[] _coordinates, _squaredNorms, _heads;
    private readonly int[] _headEnds;

    /// <param name="dimensions">4 or 8.</param>
    /// <param name="levels">The values a coordinate may have, ascending.</param>
    /// <param name="bitmap">The points that the lattice has, as <see cref="Lattices"/> says.</param>
    public Lattice(int dimensions, ReadOnlySpan<sbyte> levels, string bitmap)
    {
        Dimensions = dimensions;
        _levels = levels.ToArray();
        byte[] bits = Convert.FromBase64String(bitmap);
        Count = bits.Sum(b => BitOperations.PopCount(b));
        Points = new ulong[Count];
        _coordinates = new float[dimensions * Count];
        _squaredNorms = new float[Count];
        for (int place = 0, point = 0; point < Count; place++)
        {
            if ((bits[place >> 3] >> (place & 7) & 1) != 0) Add(point++, place);
        }
        (_heads, _headEnds) = FindHeads();
    }

    public int Dimensions { get; }

    /// <summary>The largest magnitude of a coordinate.</summary>
    public int Largest => Math.Max(-_levels[0], _levels[^1]);

    /// <summary>Points, a multiple of 8.</summary>
    public int Count { get; }

    /// <summary>The points, ascending by their last coordinate first: coordinate i as the signed byte i.</summary>
    public ulong[] Points { get; }

    /// <summary>The points by eights, [eight, dimension, lane].</summary>
    public ReadOnlySpan<float> Coordinates => _coordinates;

    /// <summary>The different upper halves of points, by eights as the points; copies of the last fill the last eight.</summary>
    public ReadOnlySpan<float> Heads => _heads;

    /// <summary>For each head, the end of its run among the points; the run starts at the end before it.</summary>
    public ReadOnlySpan<int> HeadEnds => _headEnds;

    /// <summary>
    /// An upper bound, over all lower halves, of Σ(wx g - scale / 2 w g²), at four scales: the sum of the best levels.
    /// </summary>
    public Vector128<float> BestTails(ReadOnlySpan<float> weighted, ReadOnlySpan<float> errorWeights, Vector128<float> halfScales)
    {
        Vector128<float> sum = default;
        for (int i = 0; i < Dimensions / 2; i++)
        {
            Vector128<float> best = Vector128.Create(float.NegativeInfinity), slope = halfScales * errorWeights[i];
            foreach (sbyte level in _levels)
                best = Vector128.MaxNative(best, (Vector128.Create(weighted[i]) - slope * level) * level);
            sum += best;
        }
        return sum;
    }

    /// <summary>The point nearest to the weights at a scale: it minimizes Σ (x - scale * g)².</summary>
    /// <param name="x">One weight a dimension.</param>
    /// <param name="scale">Above zero.</param>
    /// <param name="flip">True if one coordinate, whichever costs least, is to enter with its sign changed.</param>
    /// <returns>The point, and Σ (x - scale * g)² less Σ x².</returns>
    public (int Point, float Error) Nearest(ReadOnlySpan<float> x, float scale, bool flip = false)
    {
        Vector256<float> half = Vector256.Create(scale / 2), best = Vector256.Create(float.NegativeInfinity);
        Vector256<int> bestAt = default;
        for (int p = 0; p < Count; p += 8)
        {
            Vector256<float> dot = default, least = Vector256.Create(float.PositiveInfinity);
            for (int i = 0; i < Dimensions; i++)
            {
                Vector256<float> term = BlockSearch.Load(_coordinates, p * Dimensions + 8 * i) * x[i];
                dot += term;
                least = Vector256.MinNative(least, term);
            }
            if (flip) dot -= least + least;
            Vector256<float> score = dot - half * BlockSearch.Load(_squaredNorms, p);
            Vector256<int> better = Vector256.GreaterThan(score, best).AsInt32();
            best = Vector256.MaxNative(score, best);
            bestAt = Vector256.ConditionalSelect(better, Vector256.Create(p), bestAt);
        }
        int lane = BlockSearch.LargestLane(best);
        return (bestAt[lane] + lane, -2 * scale * best[lane]);
    }

    /// <summary>The nearest point to eight weights' magnitudes, and their signs; with an even number of negatives if so asked.</summary>
    public (int Point, int Signs) Round(ReadOnlySpan<float> weights, float scale, bool even)
    {
        if (scale == 0) return default;
        Span<float> magnitudes = stackalloc float[8];
        int signs = EvenSigns.Split(weights, magnitudes);
        bool flip = even && EvenSigns.IsOdd(signs);
        int point = Nearest(magnitudes, scale, flip).Point;
        if (flip) signs ^= 1 << CheapestFlip(point, magnitudes);
        return (point, signs);
    }

    /// <summary>The coordinate whose change of sign costs least: of the smallest weight times coordinate.</summary>
    public int CheapestFlip(int point, ReadOnlySpan<float> weighted)
    {
        int cheapest = 0;
        float least = float.PositiveInfinity;
        for (int i = 0; i < Dimensions; i++)
        {
            float cost = weighted[i] * Coordinate(point, i);
            if (cost < least) (least, cheapest) = (cost, i);
        }
        return cheapest;
    }

    public int Coordinate(int point, int dimension) => (sbyte)(Points[point] >> (8 * dimension));

    /// <summary>Where a coordinate of a point stands among eights of this many dimensions.</summary>
    private static int Lane(int point, int dimension, int dimensions) => (point & ~7) * dimensions + 8 * dimension + (point & 7);

    private void Add(int point, int place)
    {
        for (int i = 0; i < Dimensions; i++, place /= _levels.Length)
        {
            int value = _levels[place % _levels.Length];
            Points[point] |= (ulong)(byte)value << (8 * i);
            _coordinates[Lane(point, i, Dimensions)] = value;
            _squaredNorms[point] += value * value;
        }
    }

    private (float[] Heads, int[] Ends) FindHeads()
    {
        int shift = 4 * Dimensions;
        int[] ends = [.. Enumerable.Range(1, Count).Where(p => p == Count || Points[p] >> shift != Points[p - 1] >> shift)];
        int padded = (ends.Length + 7) & ~7;
        var heads = new float[Dimensions / 2 * padded];
        for (int i = 0; i < Dimensions / 2; i++)
        {
            for (int h = 0; h < padded; h++)
                heads[Lane(h, i, Dimensions / 2)] = Coordinate(ends[Math.Min(h, ends.Length - 1)] - 1, Dimensions / 2 + i);
        }
        return (heads, ends);
    }
}
