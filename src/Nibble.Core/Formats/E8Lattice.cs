using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Nibble.Core.Formats;

/// <summary>
/// 65,536 points of the lattice E8, moved by a quarter: the codebook E8P of QuIP# (Tseng et al., arXiv 2402.04396), with a
/// choice of our own among its outermost points. All eight coordinates are odd multiples of 1/4, up to 11/4.
/// </summary>
/// <remarks>
/// A code is, from the least bit on: 8 bits for the magnitudes before the move, 7 bits for the signs of the first seven
/// coordinates (1 is minus), 1 bit for the move (1 is minus a quarter). The sign of the eighth coordinate makes the sum
/// of the eight half-integers even. The magnitudes are halves, 3/2 and 5/2: all 227 of squared norm up to 10, in the
/// order of their norm and then of their coordinates, and 29 of norm 12 with five 3/2: those whose three halves stand at
/// places (from 0) of an even sum, and that with them at 0, 1 and 2.
/// </remarks>
internal static class E8Lattice
{
    public const int Dimension = 8;
    private const int Magnitudes = 256;

    /// <summary>Four times the magnitudes before the move: 2, 6 or 10, entry by entry.</summary>
    private static readonly byte[] Quadruple = MakeMagnitudes();

    private static readonly float[] Points = [.. Quadruple.Select(q => q / 4f)];

    // Coordinate by coordinate, and |s|^2, for the search.
    private static readonly float[] Columns = MakeColumns();
    private static readonly float[] Norms = [.. Enumerable.Range(0, Magnitudes).Select(m => Points.AsSpan(m * Dimension, Dimension).ToArray().Sum(s => s * s))];

    /// <summary>Whether the sum of the magnitudes is odd, so that an odd number of minus signs makes it even; all ones if so.</summary>
    private static readonly int[] OddSum = [.. Enumerable.Range(0, Magnitudes).Select(m => -((int)Points.AsSpan(m * Dimension, Dimension).ToArray().Sum() & 1))];

    private static byte[] MakeMagnitudes()
    {
        int[] halves = [1, 3, 5];
        IEnumerable<int[]> all = [[]];
        for (int j = 0; j < Dimension; j++) all = all.SelectMany(start => halves.Select(next => (int[])[.. start, next]));
        int[][] candidates = [.. all.OrderBy(h => h.Sum(x => x * x))];
        IEnumerable<int[]> inner = candidates.Where(h => h.Sum(x => x * x) <= 40);
        IEnumerable<int[]> outer = candidates.Where(h => h.Count(x => x == 3) == 5 && h.Count(x => x == 1) == 3 && IsChosen(h));
        return [.. inner.Concat(outer).SelectMany(h => h.Select(x => (byte)(2 * x)))];
    }

    private static bool IsChosen(int[] halves)
    {
        int[] places = [.. Enumerable.Range(0, Dimension).Where(j => halves[j] == 1)];
        return places.Sum() % 2 == 0 || places is [0, 1, 2];
    }

    private static float[] MakeColumns()
    {
        var columns = new float[Dimension * Magnitudes];
        for (int m = 0; m < Magnitudes; m++)
            for (int j = 0; j < Dimension; j++) columns[j * Magnitudes + m] = Points[m * Dimension + j];
        return columns;
    }

    /// <summary>The signs of a code: bit j is set where coordinate j is below zero before the move.</summary>
    private static int Signs(int code)
    {
        int first = (code >> 8) & 0x7F, odd = OddSum[code & 0xFF] & 1;
        return first | (((BitOperations.PopCount((uint)first) & 1) ^ odd) << 7);
    }

    /// <summary>Four times the point of a code: odd numbers from -11 to 11.</summary>
    public static void Read(int code, Span<sbyte> quadruple)
    {
        int signs = Signs(code), move = (code & 0x8000) != 0 ? -1 : 1;
        for (int j = 0; j < Dimension; j++)
        {
            int q = Quadruple[(code & 0xFF) * Dimension + j];
            quadruple[j] = (sbyte)(((signs >> j & 1) != 0 ? -q : q) + move);
        }
    }

    /// <summary>The point of a code times a scale.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Read(int code, float scale)
    {
        // Bit j of the signs, moved to the sign bit of lane j.
        Vector256<uint> bits = Vector256.Create((uint)Signs(code));
        bits = Avx2.IsSupported
            ? Avx2.ShiftLeftLogicalVariable(bits, Vector256.Create(31u, 30, 29, 28, 27, 26, 25, 24))
            : bits * Vector256.Create(1u << 31, 1u << 30, 1u << 29, 1u << 28, 1u << 27, 1u << 26, 1u << 25, 1u << 24);
        Vector256<uint> magnitude = Vector256.LoadUnsafe(ref Points[(code & 0xFF) * Dimension]).AsUInt32();
        Vector256<float> point = (magnitude ^ (bits & Vector256.Create(0x80000000u))).AsSingle();
        return Vector256.Create(scale) * (point + Vector256.Create((code & 0x8000) != 0 ? -0.25f : 0.25f));
    }

    /// <summary>The code of the nearest point, and its squared distance.</summary>
    /// <param name="x">Eight coordinates.</param>
    /// <param name="weight">How much each coordinate's square counts, or empty.</param>
    /// <param name="distance">The sum of squares.</param>
    public static int Nearest(ReadOnlySpan<float> x, ReadOnlySpan<float> weight, out float distance)
    {
        Span<float> ownNorms = stackalloc float[weight.IsEmpty ? 0 : Magnitudes];
        for (int m = 0; m < ownNorms.Length; m += 8)
        {
            Vector256<float> sum = default;
            for (int j = 0; j < Dimension; j++)
            {
                Vector256<float> s = Vector256.LoadUnsafe(ref Columns[j * Magnitudes + m]);
                sum = Vector256.FusedMultiplyAdd(s * s, Vector256.Create(weight[j]), sum);
            }
            sum.CopyTo(ownNorms[m..]);
        }
        ReadOnlySpan<float> norms = weight.IsEmpty ? Norms : ownNorms;
        int plus = Nearest(x, weight, 0.25f, norms, out float fromPlus), minus = Nearest(x, weight, -0.25f, norms, out float fromMinus);
        distance = Math.Min(fromPlus, fromMinus);
        return fromMinus < fromPlus ? minus | 0x8000 : plus;
    }

    /// <summary>
    /// With one move. Each coordinate takes the sign of y, which is x less the move; where that breaks the evenness of the sum,
    /// the sign that costs least to turn is turned: turning coordinate j adds 4 w |y| s.
    /// </summary>
    private static int Nearest(ReadOnlySpan<float> x, ReadOnlySpan<float> weight, float move, ReadOnlySpan<float> norms, out float distance)
    {
        Span<float> weighted = stackalloc float[Dimension];
        int signs = 0;
        float power = 0;
        for (int j = 0; j < Dimension; j++)
        {
            float y = x[j] - move, w = weight.IsEmpty ? 1 : weight[j];
            weighted[j] = w * Math.Abs(y);
            power += w * y * y;
            if (y < 0) signs |= 1 << j;
        }
        int odd = -(BitOperations.PopCount((uint)signs) & 1);
        int entry = NearestMagnitudes(weighted, norms, odd, out float score);
        distance = Math.Max(0, power + score);
        return entry | ((TurnToEven(entry, signs, odd, weighted) & 0x7F) << 8);
    }

    /// <summary>The entry of least |s|^2 - 2 w|y|.s, plus the cost of a turn where its sum is not odd as the signs are.</summary>
    private static int NearestMagnitudes(ReadOnlySpan<float> weighted, ReadOnlySpan<float> norms, int odd, out float score)
    {
        Vector256<float> y0 = Vector256.Create(weighted[0]), y1 = Vector256.Create(weighted[1]), y2 = Vector256.Create(weighted[2]);
        Vector256<float> y3 = Vector256.Create(weighted[3]), y4 = Vector256.Create(weighted[4]), y5 = Vector256.Create(weighted[5]);
        Vector256<float> y6 = Vector256.Create(weighted[6]), y7 = Vector256.Create(weighted[7]);
        ref float columns = ref MemoryMarshal.GetArrayDataReference(Columns);
        ref int oddSums = ref MemoryMarshal.GetArrayDataReference(OddSum);
        ref float norm = ref MemoryMarshal.GetReference(norms[..Magnitudes]);
        var least = Vector256.Create(float.PositiveInfinity);
        Vector256<int> at = default, lane = Vector256<int>.Indices;
        for (nuint m = 0; m < Magnitudes; m += 8, lane += Vector256.Create(8))
        {
            Vector256<float> product = y0 * Vector256.LoadUnsafe(ref columns, m), dot = product, turn = product;
            Add(y1 * Vector256.LoadUnsafe(ref columns, m + Magnitudes), ref dot, ref turn);
            Add(y2 * Vector256.LoadUnsafe(ref columns, m + 2 * Magnitudes), ref dot, ref turn);
            Add(y3 * Vector256.LoadUnsafe(ref columns, m + 3 * Magnitudes), ref dot, ref turn);
            Add(y4 * Vector256.LoadUnsafe(ref columns, m + 4 * Magnitudes), ref dot, ref turn);
            Add(y5 * Vector256.LoadUnsafe(ref columns, m + 5 * Magnitudes), ref dot, ref turn);
            Add(y6 * Vector256.LoadUnsafe(ref columns, m + 6 * Magnitudes), ref dot, ref turn);
            Add(y7 * Vector256.LoadUnsafe(ref columns, m + 7 * Magnitudes), ref dot, ref turn);
            Vector256<int> broken = Vector256.LoadUnsafe(ref oddSums, m) ^ Vector256.Create(odd);
            Vector256<float> sum = Vector256.LoadUnsafe(ref norm, m) - (dot + dot) + ((4 * turn).AsInt32() & broken).AsSingle();
            Vector256<float> less = Vector256.LessThan(sum, least);
            least = Vector256.ConditionalSelect(less, sum, least);
            at = Vector256.ConditionalSelect(less.AsInt32(), lane, at);
        }
        int best = 0;
        for (int i = 1; i < 8; i++)
            if (least[i] < least[best] || (least[i] == least[best] && at[i] < at[best])) best = i;
        score = least[best];
        return at[best];
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(Vector256<float> product, ref Vector256<float> dot, ref Vector256<float> turn)
    {
        dot += product;
        turn = Vector256.MinNative(turn, product);
    }

    private static int TurnToEven(int entry, int signs, int odd, ReadOnlySpan<float> weighted)
    {
        if (OddSum[entry] == odd) return signs;
        ReadOnlySpan<float> s = Points.AsSpan(entry * Dimension, Dimension);
        int cheapest = 0;
        for (int j = 1; j < Dimension; j++)
            if (s[j] * weighted[j] < s[cheapest] * weighted[cheapest]) cheapest = j;
        return signs ^ (1 << cheapest);
    }
}
