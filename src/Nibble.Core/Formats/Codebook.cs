using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>Points of 2, 4 or 8 dimensions, and the search for the nearest.</summary>
internal sealed class Codebook
{
    private const int Lanes = 8;

    // Dimension by dimension, and |c|^2; entries beyond the last are infinitely far.
    private readonly float[] _columns;
    private readonly float[] _norms;
    private readonly int _padded;

    /// <param name="dimension">2, 4 or 8.</param>
    /// <param name="points">Entry by entry.</param>
    public Codebook(int dimension, float[] points)
    {
        Dimension = dimension;
        Points = points;
        Entries = points.Length / dimension;
        _padded = (Entries + Lanes - 1) / Lanes * Lanes;
        _columns = new float[dimension * _padded];
        _norms = new float[_padded];
        Array.Fill(_norms, float.PositiveInfinity);
        for (int k = 0; k < Entries; k++)
        {
            _norms[k] = 0;
            for (int j = 0; j < dimension; j++)
            {
                float c = points[k * dimension + j];
                _columns[j * _padded + k] = c;
                _norms[k] += c * c;
            }
        }
    }

    public int Dimension { get; }
    public int Entries { get; }

    /// <summary>Entry by entry.</summary>
    public float[] Points { get; }

    public ReadOnlySpan<float> this[int entry] => Points.AsSpan(entry * Dimension, Dimension);

    /// <summary>The first number of an entry, for loads.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ref float Entry(int entry) => ref Points[entry * Dimension];

    /// <summary>The entry of least |x - c|^2, the first of equals. |x|^2 is the same for all and left out: |c|^2 - 2 x.c decides.</summary>
    public int Nearest(ReadOnlySpan<float> x)
    {
        var query = new Query(x);
        ref float columns = ref MemoryMarshal.GetArrayDataReference(_columns);
        ref float norms = ref MemoryMarshal.GetArrayDataReference(_norms);
        var best = Vector256.Create(float.PositiveInfinity);
        Vector256<int> at = default, lane = Vector256<int>.Indices;
        for (int k = 0; k < _padded; k += Lanes, lane += Vector256.Create(Lanes))
            Keep(query.Score(ref columns, _padded, k, Vector256.LoadUnsafe(ref norms, (nuint)k)), lane, ref best, ref at);
        return FirstOfLeast(best, at);
    }

    /// <summary>The entry of least squared distance where each dimension's square counts by its weight.</summary>
    public int Nearest(ReadOnlySpan<float> x, ReadOnlySpan<float> weight)
    {
        var best = Vector256.Create(float.PositiveInfinity);
        Vector256<int> at = default, lane = Vector256<int>.Indices;
        for (int k = 0; k < _padded; k += Lanes, lane += Vector256.Create(Lanes))
            Keep(Score(x, weight, k), lane, ref best, ref at);
        return FirstOfLeast(best, at);
    }

    /// <summary>The squared distance of every entry, but for a term that is the same for all.</summary>
    /// <param name="x">The point.</param>
    /// <param name="weight">By dimension, or empty.</param>
    /// <param name="scores">As many as there are entries, rounded up to a multiple of 8.</param>
    public void Scores(ReadOnlySpan<float> x, ReadOnlySpan<float> weight, Span<float> scores)
    {
        var query = new Query(x);
        ref float columns = ref MemoryMarshal.GetArrayDataReference(_columns);
        for (int k = 0; k < _padded; k += Lanes)
        {
            Vector256<float> score = weight.IsEmpty
                ? query.Score(ref columns, _padded, k, Vector256.Create(_norms.AsSpan(k, Lanes)))
                : Score(x, weight, k);
            score.CopyTo(scores[k..]);
        }
    }

    /// <summary>Sum of w c (c - 2 x), eight entries at once.</summary>
    private Vector256<float> Score(ReadOnlySpan<float> x, ReadOnlySpan<float> weight, int k)
    {
        // Infinite for the entries beyond the last, zero for the others.
        var infinite = Vector256.Create(float.PositiveInfinity);
        Vector256<float> score = Vector256.ConditionalSelect(Vector256.Equals(Vector256.Create(_norms.AsSpan(k, Lanes)), infinite), infinite, default);
        for (int j = 0; j < x.Length; j++)
        {
            Vector256<float> c = Vector256.Create(_columns.AsSpan(j * _padded + k, Lanes));
            score = Vector256.FusedMultiplyAdd(c * Vector256.Create(weight[j]), c - Vector256.Create(2 * x[j]), score);
        }
        return score;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Keep(Vector256<float> score, Vector256<int> lane, ref Vector256<float> best, ref Vector256<int> at)
    {
        Vector256<float> less = Vector256.LessThan(score, best);
        best = Vector256.ConditionalSelect(less, score, best);
        at = Vector256.ConditionalSelect(less.AsInt32(), lane, at);
    }

    private static int FirstOfLeast(Vector256<float> best, Vector256<int> at)
    {
        int first = at[0];
        float least = best[0];
        for (int i = 1; i < Lanes; i++)
            if (best[i] < least || (best[i] == least && at[i] < first)) (least, first) = (best[i], at[i]);
        return first;
    }

    /// <summary>-2 x, each coordinate in all lanes of a register of its own.</summary>
    private readonly struct Query
    {
        private readonly int _dimension;
        private readonly Vector256<float> _0, _1, _2, _3, _4, _5, _6, _7;

        public Query(ReadOnlySpan<float> x)
        {
            _dimension = x.Length;
            _0 = Vector256.Create(-2 * x[0]);
            _1 = Vector256.Create(-2 * x[1]);
            if (x.Length < 4) return;
            _2 = Vector256.Create(-2 * x[2]);
            _3 = Vector256.Create(-2 * x[3]);
            if (x.Length < 8) return;
            _4 = Vector256.Create(-2 * x[4]);
            _5 = Vector256.Create(-2 * x[5]);
            _6 = Vector256.Create(-2 * x[6]);
            _7 = Vector256.Create(-2 * x[7]);
        }

        /// <summary>The scores of entries k to k + 7.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public Vector256<float> Score(ref float columns, int stride, int k, Vector256<float> norms)
        {
            ref float at = ref Unsafe.Add(ref columns, k);
            Vector256<float> score = Vector256.FusedMultiplyAdd(_0, Vector256.LoadUnsafe(ref at), norms);
            score = Vector256.FusedMultiplyAdd(_1, Vector256.LoadUnsafe(ref at, (nuint)stride), score);
            if (_dimension < 4) return score;
            score = Vector256.FusedMultiplyAdd(_2, Vector256.LoadUnsafe(ref at, (nuint)(2 * stride)), score);
            score = Vector256.FusedMultiplyAdd(_3, Vector256.LoadUnsafe(ref at, (nuint)(3 * stride)), score);
            if (_dimension < 8) return score;
            score = Vector256.FusedMultiplyAdd(_4, Vector256.LoadUnsafe(ref at, (nuint)(4 * stride)), score);
            score = Vector256.FusedMultiplyAdd(_5, Vector256.LoadUnsafe(ref at, (nuint)(5 * stride)), score);
            score = Vector256.FusedMultiplyAdd(_6, Vector256.LoadUnsafe(ref at, (nuint)(6 * stride)), score);
            return Vector256.FusedMultiplyAdd(_7, Vector256.LoadUnsafe(ref at, (nuint)(7 * stride)), score);
        }
    }
}
