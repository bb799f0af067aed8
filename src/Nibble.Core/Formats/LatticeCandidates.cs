using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>
/// The points of a lattice that may be best for a few weights x under error weights w, at one of four scales or between
/// them: those that may have the highest score A - s/2 B, where A = Σwxg and B = Σwg². Points with one head (the upper half
/// of their coordinates) stand together, and a head is passed over if even the best tail, be it in the lattice or not,
/// would leave it short of a point that was already seen: of 2048 points some 150 remain.
/// </summary>
internal sealed class LatticeCandidates
{
    public const int Scales = 4;

    private const int MostPoints = 2048, MostHeads = 88;

    /// <summary>
    /// In parts of the best score, over the dimensions: so far short of it a head may fall at all four scales, for it may
    /// still be best between them.
    /// </summary>
    private const float Slack = 0.08f;

    private readonly float[] _headA = new float[MostHeads], _headB = new float[MostHeads];
    private readonly float[] _a = new float[MostPoints], _b = new float[MostPoints];
    private readonly int[] _firstPoint = new int[MostPoints / 8];
    private readonly int[] _seen = new int[MostPoints / 8];
    private int _stamp, _marked, _looked;

    /// <summary>Candidates, eight by eight.</summary>
    public int Count => 8 * _looked;

    public ReadOnlySpan<float> A => _a.AsSpan(0, Count);

    public ReadOnlySpan<float> B => _b.AsSpan(0, Count);

    /// <summary>The lattice's number of a candidate.</summary>
    public int Point(int candidate) => _firstPoint[candidate >> 3] + (candidate & 7);

    /// <param name="lattice">The points.</param>
    /// <param name="weighted">w x, one a dimension.</param>
    /// <param name="errorWeights">w.</param>
    /// <param name="half">The scales, halved, ascending.</param>
    /// <param name="flip">True if one coordinate, whichever costs least, is to enter with its sign changed.</param>
    /// <param name="best">Receives the best candidate at each scale.</param>
    public void Find(Lattice lattice, ReadOnlySpan<float> weighted, ReadOnlySpan<float> errorWeights, Vector128<float> half, bool flip,
        Span<int> best)
    {
        // wx and w of a dimension side by side, each in all lanes
        Span<Vector256<float>> factors = stackalloc Vector256<float>[2 * weighted.Length];
        for (int i = 0; i < weighted.Length; i++)
        {
            factors[2 * i] = Vector256.Create(weighted[i]);
            factors[2 * i + 1] = Vector256.Create(errorWeights[i]);
        }
        _stamp++;
        _marked = _looked = 0;
        int low = lattice.Dimensions / 2, heads = lattice.Heads.Length / low;
        for (int h = 0; h < heads; h += 8) Sums(lattice.Heads[(h * low)..], factors[(2 * low)..], ref _headA[h], ref _headB[h]);
        ReadOnlySpan<float> headA = _headA.AsSpan(0, heads), headB = _headB.AsSpan(0, heads);
        FindBest(headA, headB, half, best);
        foreach (int head in best) Mark(lattice, head);
        Look(lattice, factors, flip);

        FindBest(A, B, half, best);
        Vector128<float> reached = Vector128.Create(Score(best[0], half[0]), Score(best[1], half[1]), Score(best[2], half[2]), Score(best[3], half[3]));
        MarkHeadsBeyond(lattice, headA, headB, half, reached * (1 - Slack / lattice.Dimensions) - lattice.BestTails(weighted, errorWeights, half));
        Look(lattice, factors, flip);
        FindBest(A, B, half, best);
    }

    private float Score(int candidate, float half) => _a[candidate] - _b[candidate] * half;

    /// <summary>Marks the heads whose score reaches the least that is asked at one of the four scales.</summary>
    private void MarkHeadsBeyond(Lattice lattice, ReadOnlySpan<float> headA, ReadOnlySpan<float> headB, Vector128<float> half, Vector128<float> least)
    {
        Vector256<float> half0 = Vector256.Create(half[0]), half1 = Vector256.Create(half[1]);
        Vector256<float> half2 = Vector256.Create(half[2]), half3 = Vector256.Create(half[3]);
        Vector256<float> least0 = Vector256.Create(least[0]), least1 = Vector256.Create(least[1]);
        Vector256<float> least2 = Vector256.Create(least[2]), least3 = Vector256.Create(least[3]);
        for (int h = 0; h < headA.Length; h += 8)
        {
            Vector256<float> a = BlockSearch.Load(headA, h), b = BlockSearch.Load(headB, h);
            Vector256<float> may = Vector256.GreaterThan(a - b * half0, least0) | Vector256.GreaterThan(a - b * half1, least1)
                | Vector256.GreaterThan(a - b * half2, least2) | Vector256.GreaterThan(a - b * half3, least3);
            for (uint lanes = may.ExtractMostSignificantBits(); lanes != 0; lanes &= lanes - 1)
                Mark(lattice, h + BitOperations.TrailingZeroCount(lanes));
        }
    }

    /// <summary>The eights in which a head's points stand are to be looked at.</summary>
    private void Mark(Lattice lattice, int head)
    {
        ReadOnlySpan<int> ends = lattice.HeadEnds;
        if (head >= ends.Length) return; // a copy
        for (int eight = head == 0 ? 0 : ends[head - 1] / 8; 8 * eight < ends[head]; eight++)
        {
            if (_seen[eight] == _stamp) continue;
            _seen[eight] = _stamp;
            _firstPoint[_marked++] = 8 * eight;
        }
    }

    private void Look(Lattice lattice, ReadOnlySpan<Vector256<float>> factors, bool flip)
    {
        for (; _looked < _marked; _looked++)
        {
            ReadOnlySpan<float> eight = lattice.Coordinates[(_firstPoint[_looked] * lattice.Dimensions)..];
            Sums(eight, factors, ref _a[8 * _looked], ref _b[8 * _looked]);
            if (flip) Flip(eight, factors, ref _a[8 * _looked]);
        }
    }

    /// <summary>A and B of eight points.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Sums(ReadOnlySpan<float> coordinates, ReadOnlySpan<Vector256<float>> factors, ref float sumA, ref float sumB)
    {
        ref float lane = ref MemoryMarshal.GetReference(coordinates);
        ref Vector256<float> factor = ref MemoryMarshal.GetReference(factors);
        Vector256<float> a = default, b = default;
        for (int i = 0; i < factors.Length; i += 4) // two dimensions a turn
        {
            Vector256<float> g = Vector256.LoadUnsafe(ref lane, (nuint)i * 4), h = Vector256.LoadUnsafe(ref lane, (nuint)i * 4 + 8);
            a += g * Unsafe.Add(ref factor, i);
            b += g * g * Unsafe.Add(ref factor, i + 1);
            a += h * Unsafe.Add(ref factor, i + 2);
            b += h * h * Unsafe.Add(ref factor, i + 3);
        }
        a.StoreUnsafe(ref sumA);
        b.StoreUnsafe(ref sumB);
    }

    /// <summary>Changes the sign of the least term of eight points.</summary>
    private static void Flip(ReadOnlySpan<float> coordinates, ReadOnlySpan<Vector256<float>> factors, ref float sumA)
    {
        Vector256<float> least = Vector256.Create(float.PositiveInfinity);
        for (int i = 0; i < factors.Length; i += 2)
            least = Vector256.MinNative(least, BlockSearch.Load(coordinates, 4 * i) * factors[i]);
        (Vector256.LoadUnsafe(ref sumA) - least - least).StoreUnsafe(ref sumA);
    }

    /// <summary>The places of the highest scores at the four scales.</summary>
    private static void FindBest(ReadOnlySpan<float> a, ReadOnlySpan<float> b, Vector128<float> half, Span<int> best)
    {
        Tracker t0 = new(half[0]), t1 = new(half[1]), t2 = new(half[2]), t3 = new(half[3]);
        Vector256<int> place = Vector256.Create(0, 1, 2, 3, 4, 5, 6, 7);
        for (int p = 0; p < a.Length; p += 8, place += Vector256.Create(8))
        {
            Vector256<float> pa = BlockSearch.Load(a, p), pb = BlockSearch.Load(b, p);
            t0.See(pa, pb, place);
            t1.See(pa, pb, place);
            t2.See(pa, pb, place);
            t3.See(pa, pb, place);
        }
        (best[0], best[1], best[2], best[3]) = (t0.Best, t1.Best, t2.Best, t3.Best);
    }

    /// <summary>The highest score of each lane, and where it was.</summary>
    private struct Tracker(float half)
    {
        private readonly Vector256<float> _half = Vector256.Create(half);
        private Vector256<float> _most = Vector256.Create(float.NegativeInfinity);
        private Vector256<int> _at;

        public readonly int Best => _at[BlockSearch.LargestLane(_most)];

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void See(Vector256<float> a, Vector256<float> b, Vector256<int> place)
        {
            Vector256<float> score = a - b * _half;
            _at = Vector256.ConditionalSelect(Vector256.GreaterThan(score, _most).AsInt32(), place, _at);
            _most = Vector256.MaxNative(score, _most);
        }
    }
}
