using System.Numerics;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>A finite set of points in 4 or 8 dimensions; a code of a lattice format is a point's place among them.</summary>
internal sealed class Lattice
{
    private readonly float[] _coordinates;
    private readonly float[] _squaredNorms;

    /// <param name="dimensions">4 or 8.</param>
    /// <param name="levels">The values a coordinate may have, ascending.</param>
    /// <param name="bitmap">The points that the lattice has, as <see cref="Lattices"/> says.</param>
    public Lattice(int dimensions, ReadOnlySpan<sbyte> levels, string bitmap)
    {
        Dimensions = dimensions;
        byte[] bits = Convert.FromBase64String(bitmap);
        Count = bits.Sum(b => BitOperations.PopCount(b));
        Points = new ulong[Count];
        _coordinates = new float[dimensions * Count];
        _squaredNorms = new float[Count];
        for (int place = 0, point = 0; point < Count; place++)
        {
            if ((bits[place >> 3] >> (place & 7) & 1) != 0) Add(point++, place, levels);
        }
    }

    public int Dimensions { get; }

    public int Count { get; }

    /// <summary>The points: coordinate i as the signed byte i.</summary>
    public ulong[] Points { get; }

    /// <summary>[dimension, point]: 8 neighbours along the points are 8 lanes.</summary>
    public ReadOnlySpan<float> Coordinates => _coordinates;

    /// <summary>The point nearest to the weights at a scale: it minimizes Σ (x - scale * g)².</summary>
    /// <param name="x">One weight a dimension.</param>
    /// <param name="scale">Above zero.</param>
    /// <param name="flip">
    /// True if one coordinate, whichever costs least, is to enter with its sign changed (see <see cref="EvenSigns"/>).
    /// </param>
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
                Vector256<float> term = BlockSearch.Load(_coordinates, i * Count + p) * x[i];
                dot += term;
                least = Vector256.MinNative(least, term);
            }
            if (flip) dot -= least + least;
            Vector256<float> score = dot - half * BlockSearch.Load(_squaredNorms, p);
            Vector256<int> better = Vector256.GreaterThan(score, best).AsInt32();
            best = Vector256.MaxNative(score, best);
            bestAt = Vector256.ConditionalSelect(better, Vector256.Create(p), bestAt);
        }
        int lane = 0;
        for (int i = 1; i < 8; i++)
            if (best[i] > best[lane]) lane = i;
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

    /// <summary>The point g whose 8g + 1 (or 8g - 1) is nearest to eight weights, and the square error that is left.</summary>
    public (int Point, float Error) RoundShifted(ReadOnlySpan<float> weights, float scale, bool down)
    {
        if (scale == 0) return default;
        Span<float> moved = stackalloc float[8];
        float power = 0;
        for (int i = 0; i < 8; i++)
        {
            moved[i] = weights[i] - (down ? -scale : scale);
            power += moved[i] * moved[i];
        }
        (int point, float error) = Nearest(moved, 8 * scale);
        return (point, power + error);
    }

    /// <summary>The eight signed bytes 8g + 1, or 8g - 1.</summary>
    public ulong Shifted(int point, bool down)
    {
        Vector128<sbyte> g = Vector128.CreateScalar(Points[point]).AsSByte();
        return ((g << 3) + Vector128.Create((sbyte)(down ? -1 : 1))).AsUInt64().ToScalar();
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

    private void Add(int point, int place, ReadOnlySpan<sbyte> levels)
    {
        for (int i = 0; i < Dimensions; i++, place /= levels.Length)
        {
            int value = levels[place % levels.Length];
            Points[point] |= (ulong)(byte)value << (8 * i);
            _coordinates[i * Count + point] = value;
            _squaredNorms[point] += value * value;
        }
    }
}
