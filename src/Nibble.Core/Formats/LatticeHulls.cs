using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>
/// For a few weights x under error weights w, the points g of a lattice that are best at some scale. The error of a point
/// at scale s is Σw(x - s g)² = Σwx² - s (2A - s B) with A = Σwxg and B = Σwg²: the points that can be best are the corners
/// of the upper convex hull of all (B, A), each for an interval of scales. Found once, they answer every later question
/// about scales exactly and cheaply: where the lattice has a thousand points, the hull has six corners.
/// </summary>
internal sealed class LatticeHulls
{
    /// <summary>Trial scales, from which the hull is found: its corners lie on or beyond the polygon of their best points.</summary>
    public const int Trials = 4;

    private const int MostHulls = 128, MostCorners = 16, MostFound = 64;

    private readonly float[] _a = new float[2 * 2048], _b = new float[2 * 2048];
    private readonly Corner[] _found = new Corner[MostFound];
    private readonly Corner[] _corners = new Corner[MostHulls * MostCorners];
    private readonly int[] _cornerCounts = new int[MostHulls];

    private record struct Corner(float A, float B, int Point);

    public int Count { get; private set; }

    public void Clear() => Count = 0;

    /// <summary>Adds the hull of a lattice.</summary>
    /// <param name="lattice">Its coordinates are not negative, unless the weights' signs count.</param>
    /// <param name="weighted">w x, one a dimension.</param>
    /// <param name="errorWeights">w.</param>
    /// <param name="scales">Trial scales, ascending: the hull is exact between the first and the last.</param>
    /// <param name="flip">True if one coordinate, whichever costs least, is to enter with its sign changed.</param>
    public void Add(Lattice lattice, ReadOnlySpan<float> weighted, ReadOnlySpan<float> errorWeights, ReadOnlySpan<float> scales, bool flip)
    {
        ReadOnlySpan<float> coordinates = lattice.Coordinates;
        for (int p = 0; p < lattice.Count; p += 8)
        {
            Vector256<float> a = default, b = default, least = Vector256.Create(float.PositiveInfinity);
            for (int i = 0; i < lattice.Dimensions; i++)
            {
                Vector256<float> g = BlockSearch.Load(coordinates, i * lattice.Count + p);
                Vector256<float> term = g * weighted[i];
                a += term;
                b += g * g * errorWeights[i];
                least = Vector256.MinNative(least, term);
            }
            if (flip) a -= least + least;
            a.CopyTo(_a, p);
            b.CopyTo(_b, p);
        }
        AddHull(0, lattice.Count, scales);
    }

    /// <summary>
    /// Projects the points 8g + 1 and 8g - 1 of a lattice: the first stand at their own places, the second after them.
    /// </summary>
    public void ProjectShifted(Lattice lattice, ReadOnlySpan<float> weighted, ReadOnlySpan<float> errorWeights)
    {
        ReadOnlySpan<float> coordinates = lattice.Coordinates;
        float x = 0, w = 0;
        for (int i = 0; i < 8; i++) (x, w) = (x + weighted[i], w + errorWeights[i]);
        for (int p = 0; p < lattice.Count; p += 8)
        {
            Vector256<float> wxg = default, wg = default, wgg = default;
            for (int i = 0; i < 8; i++)
            {
                Vector256<float> g = BlockSearch.Load(coordinates, i * lattice.Count + p);
                Vector256<float> term = g * errorWeights[i];
                wxg += g * weighted[i];
                wg += term;
                wgg += Vector256.Abs(term); // g is -1, 0 or 1
            }
            (wxg * 8 + Vector256.Create(x)).CopyTo(_a, p);
            (wxg * 8 - Vector256.Create(x)).CopyTo(_a, lattice.Count + p);
            (wgg * 64 + wg * 16 + Vector256.Create(w)).CopyTo(_b, p);
            (wgg * 64 - wg * 16 + Vector256.Create(w)).CopyTo(_b, lattice.Count + p);
        }
    }

    /// <summary>The error that the best corner leaves at each of 8 scales, less Σwx², over the scale: s B - 2A.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Vector256<float> Least(int hull, Vector256<float> scales)
    {
        ReadOnlySpan<Corner> corners = _corners.AsSpan(hull * MostCorners, _cornerCounts[hull]);
        Vector256<float> least = Vector256.Create(float.PositiveInfinity);
        foreach (ref readonly Corner corner in corners)
            least = Vector256.MinNative(least, scales * corner.B - Vector256.Create(2 * corner.A));
        return least;
    }

    /// <summary>The best point at a scale, with its sums.</summary>
    public (int Point, float A, float B) Best(int hull, float scale)
    {
        ReadOnlySpan<Corner> corners = _corners.AsSpan(hull * MostCorners, _cornerCounts[hull]);
        int best = 0;
        for (int c = 1; c < corners.Length; c++)
        {
            if (scale * corners[c].B - 2 * corners[c].A < scale * corners[best].B - 2 * corners[best].A) best = c;
        }
        return (corners[best].Point, corners[best].A, corners[best].B);
    }

    /// <summary>Adds the hull of some of the projected points; they are numbered from the first.</summary>
    public void AddHull(int first, int count, ReadOnlySpan<float> scales)
    {
        Span<Corner> polygon = stackalloc Corner[Trials];
        FindPolygon(_a.AsSpan(first, count), _b.AsSpan(first, count), scales, polygon);
        int found = FindBeyond(_a.AsSpan(first, count), _b.AsSpan(first, count), polygon);
        _cornerCounts[Count] = Hull(found, _corners.AsSpan(Count * MostCorners, MostCorners));
        Count++;
    }

    /// <summary>The best point at each trial scale.</summary>
    private static void FindPolygon(ReadOnlySpan<float> a, ReadOnlySpan<float> b, ReadOnlySpan<float> scales, Span<Corner> polygon)
    {
        for (int t = 0; t < Trials; t += 2)
        {
            // two scales a pass, so that all stays in registers
            Vector256<float> half0 = Vector256.Create(scales[t] / 2), half1 = Vector256.Create(scales[t + 1] / 2);
            Vector256<float> best0 = Vector256.Create(float.NegativeInfinity), best1 = best0;
            Vector256<int> at0 = default, at1 = default;
            for (int p = 0; p < a.Length; p += 8)
            {
                Vector256<float> pa = BlockSearch.Load(a, p), pb = BlockSearch.Load(b, p);
                Vector256<float> score0 = pa - pb * half0, score1 = pa - pb * half1;
                at0 = Vector256.ConditionalSelect(Vector256.GreaterThan(score0, best0).AsInt32(), Vector256.Create(p), at0);
                at1 = Vector256.ConditionalSelect(Vector256.GreaterThan(score1, best1).AsInt32(), Vector256.Create(p), at1);
                best0 = Vector256.MaxNative(score0, best0);
                best1 = Vector256.MaxNative(score1, best1);
            }
            polygon[t] = Winner(a, b, best0, at0);
            polygon[t + 1] = Winner(a, b, best1, at1);
        }
    }

    private static Corner Winner(ReadOnlySpan<float> a, ReadOnlySpan<float> b, Vector256<float> best, Vector256<int> at)
    {
        int lane = 0;
        for (int i = 1; i < 8; i++)
            if (best[i] > best[lane]) lane = i;
        int p = at[lane] + lane;
        return new Corner(a[p], b[p], p);
    }

    /// <summary>The polygon's corners, and all points that lie beyond one of its sides.</summary>
    private int FindBeyond(ReadOnlySpan<float> a, ReadOnlySpan<float> b, ReadOnlySpan<Corner> polygon)
    {
        int found = 0;
        _found[found++] = polygon[0];
        Span<float> slopes = stackalloc float[Trials - 1], heights = stackalloc float[Trials - 1];
        for (int t = 0; t < Trials - 1; t++)
        {
            // The scales ascend, so A and B descend. A side between equal corners is put out of reach.
            Corner from = polygon[t], to = polygon[t + 1];
            bool side = from.B > to.B;
            slopes[t] = side ? (from.A - to.A) / (from.B - to.B) : 0;
            heights[t] = side ? MathF.Max(from.A - slopes[t] * from.B, to.A - slopes[t] * to.B) : float.PositiveInfinity;
            if (side) _found[found++] = to;
        }
        for (int p = 0; p < a.Length; p += 8)
        {
            Vector256<float> pa = BlockSearch.Load(a, p), pb = BlockSearch.Load(b, p);
            Vector256<float> beyond = Vector256.GreaterThan(pa - pb * slopes[0], Vector256.Create(heights[0]))
                | Vector256.GreaterThan(pa - pb * slopes[1], Vector256.Create(heights[1]))
                | Vector256.GreaterThan(pa - pb * slopes[2], Vector256.Create(heights[2]));
            for (uint lanes = beyond.ExtractMostSignificantBits(); lanes != 0 && found < MostFound; lanes &= lanes - 1)
            {
                int at = p + BitOperations.TrailingZeroCount(lanes);
                _found[found++] = new Corner(a[at], b[at], at);
            }
        }
        return found;
    }

    /// <summary>The upper hull of the points found, by Andrew's monotone chain.</summary>
    private int Hull(int found, Span<Corner> hull)
    {
        Span<Corner> points = _found.AsSpan(0, found);
        points.Sort(static (p, q) => p.B != q.B ? p.B.CompareTo(q.B) : p.A.CompareTo(q.A));
        int count = 0;
        foreach (Corner point in points)
        {
            while (count > 0 && (hull[count - 1].A <= point.A && hull[count - 1].B == point.B
                || count > 1 && !TurnsDown(hull[count - 2], hull[count - 1], point))) count--;
            if (count == hull.Length) break;
            hull[count++] = point;
        }
        return count;
    }

    /// <summary>True if the middle one lies above the line between the others.</summary>
    private static bool TurnsDown(Corner left, Corner middle, Corner right) =>
        (middle.A - left.A) * (right.B - middle.B) > (right.A - middle.A) * (middle.B - left.B);
}
