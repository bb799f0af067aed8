using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>
/// For a few weights x under error weights w, the points g of a lattice that are best at some scale. The error of a point
/// at scale s is Σw(x - s g)² = Σwx² - 2s (A - s/2 B) with A = Σwxg and B = Σwg²: the points that can be best are the
/// corners of the upper convex hull of all (B, A), each for an interval of scales. Found once, they answer every later
/// question about scales exactly and cheaply: where the lattice has a thousand points, the hull has five corners.
/// </summary>
internal sealed class LatticeHulls
{
    private const int MostHulls = 128, MostCorners = 16, MostFound = 64;

    private readonly LatticeCandidates _candidates = new();
    private readonly Corner[] _found = new Corner[MostFound];
    private readonly Corner[] _corners = new Corner[MostHulls * MostCorners];
    private readonly int[] _cornerCounts = new int[MostHulls];

    private record struct Corner(float A, float B, int Point);

    public int Count { get; private set; }

    public void Clear() => Count = 0;

    /// <summary>Adds the hull of a lattice.</summary>
    /// <param name="lattice">The points.</param>
    /// <param name="weighted">w x, one a dimension.</param>
    /// <param name="errorWeights">w.</param>
    /// <param name="scales">Trial scales, ascending: the hull is good between the first and the last.</param>
    /// <param name="flip">True if one coordinate, whichever costs least, is to enter with its sign changed.</param>
    public void Add(Lattice lattice, ReadOnlySpan<float> weighted, ReadOnlySpan<float> errorWeights, Vector128<float> scales, bool flip)
    {
        Span<int> best = stackalloc int[LatticeCandidates.Scales];
        _candidates.Find(lattice, weighted, errorWeights, scales * 0.5f, flip, best);
        _cornerCounts[Count] = Hull(FindBeyond(best), _corners.AsSpan(Count * MostCorners, MostCorners));
        Count++;
    }

    /// <summary>The score that the best corner reaches at each of 8 scales: A - s/2 B.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Vector256<float> Most(int hull, Vector256<float> halfScales)
    {
        ReadOnlySpan<Corner> corners = _corners.AsSpan(hull * MostCorners, _cornerCounts[hull]);
        Vector256<float> most = Vector256.Create(float.NegativeInfinity);
        foreach (ref readonly Corner corner in corners)
            most = Vector256.MaxNative(most, Vector256.Create(corner.A) - halfScales * corner.B);
        return most;
    }

    /// <summary>The best point at a scale, with its sums.</summary>
    public (int Point, float A, float B) Best(int hull, float halfScale)
    {
        ReadOnlySpan<Corner> corners = _corners.AsSpan(hull * MostCorners, _cornerCounts[hull]);
        int best = 0;
        float most = float.NegativeInfinity;
        for (int c = 0; c < corners.Length; c++)
        {
            float score = corners[c].A - halfScale * corners[c].B;
            if (score > most) (most, best) = (score, c);
        }
        return (corners[best].Point, corners[best].A, corners[best].B);
    }

    private Corner CornerOf(int candidate) => new(_candidates.A[candidate], _candidates.B[candidate], _candidates.Point(candidate));

    /// <summary>The best candidates at the trial scales make a polygon: finds its corners, and what lies beyond a side.</summary>
    private int FindBeyond(ReadOnlySpan<int> best)
    {
        Corner from = CornerOf(best[0]);
        int found = 0;
        _found[found++] = from;
        // A side with its slope and height in all lanes; one between equal corners is out of reach.
        Span<Vector256<float>> slopes = stackalloc Vector256<float>[3], heights = stackalloc Vector256<float>[3];
        for (int t = 0; t < 3; t++)
        {
            Corner to = CornerOf(best[t + 1]);
            bool side = from.B > to.B; // the scales ascend, so A and B descend
            float slope = side ? (from.A - to.A) / (from.B - to.B) : 0;
            slopes[t] = Vector256.Create(slope);
            heights[t] = Vector256.Create(side ? MathF.Max(from.A - slope * from.B, to.A - slope * to.B) : float.PositiveInfinity);
            if (side) _found[found++] = from = to;
        }
        (Vector256<float> slope0, Vector256<float> slope1, Vector256<float> slope2) = (slopes[0], slopes[1], slopes[2]);
        (Vector256<float> height0, Vector256<float> height1, Vector256<float> height2) = (heights[0], heights[1], heights[2]);
        ReadOnlySpan<float> allA = _candidates.A, allB = _candidates.B;
        for (int p = 0; p < allA.Length; p += 8)
        {
            Vector256<float> a = BlockSearch.Load(allA, p), b = BlockSearch.Load(allB, p);
            Vector256<float> beyond = Vector256.GreaterThan(a - b * slope0, height0)
                | Vector256.GreaterThan(a - b * slope1, height1) | Vector256.GreaterThan(a - b * slope2, height2);
            for (uint lanes = beyond.ExtractMostSignificantBits(); lanes != 0 && found < MostFound; lanes &= lanes - 1)
                _found[found++] = CornerOf(p + BitOperations.TrailingZeroCount(lanes));
        }
        return found;
    }

    /// <summary>The upper hull of the points found, by Andrew's monotone chain.</summary>
    private int Hull(int found, Span<Corner> hull)
    {
        Span<Corner> points = _found.AsSpan(0, found);
        for (int i = 1; i < found; i++)
        {
            Corner point = points[i];
            int at = i;
            for (; at > 0 && (points[at - 1].B > point.B || points[at - 1].B == point.B && points[at - 1].A > point.A); at--)
                points[at] = points[at - 1];
            points[at] = point;
        }
        int count = 0;
        foreach (ref readonly Corner point in points)
        {
            while (count > 0 && (hull[count - 1].A <= point.A && hull[count - 1].B == point.B
                || count > 1 && !TurnsDown(hull[count - 2], hull[count - 1], point))) count--;
            if (count == hull.Length) break;
            hull[count++] = point;
        }
        return count;
    }

    /// <summary>True if the middle one lies above the line between the others.</summary>
    private static bool TurnsDown(in Corner left, in Corner middle, in Corner right) =>
        (middle.A - left.A) * (right.B - middle.B) > (right.A - middle.A) * (middle.B - left.B);
}
