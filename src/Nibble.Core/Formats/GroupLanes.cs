using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Nibble.Core.Formats;

/// <summary>
/// Eight groups of weights side by side, for the searches of scales: lane g of vector i is weight i of group g, so every
/// sum over a group is a loop of plain vector additions, and eight searches run at the price of one. One group may also
/// stand in all lanes; then a lane is a trial.
/// </summary>
/// <remarks>
/// Weights are measured in a unit that keeps their squares within a float, importance in its mean. The same operations run
/// on every instruction set, so what is found does not depend on the machine.
/// </remarks>
internal readonly ref struct GroupLanes
{
    public const int Lanes = 8;

    /// <summary>Weight and importance of place 0, of place 1, ...</summary>
    private readonly Span<Vector256<float>> _pairs;

    /// <param name="memory">Two vectors a weight of a group.</param>
    public GroupLanes(Span<Vector256<float>> memory)
    {
        Debug.Assert(memory.Length % 4 == 0);
        _pairs = memory;
    }

    /// <summary>Lays eight groups that follow each other side by side; no importance means that all weights matter alike.</summary>
    public void Transpose(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, float unit, float importanceUnit)
    {
        Transpose(weights, unit, 0, _pairs);
        if (!importance.IsEmpty) Transpose(importance, importanceUnit, BlockSearch.Shrinkage, _pairs[1..]);
        else for (int i = 1; i < _pairs.Length; i += 2) _pairs[i] = Vector256<float>.One;
    }

    /// <summary>
    /// Lays eight groups side by side, each in a unit of its own, so that what is found for one depends on no other; importance
    /// is relative to the mean of its group, and where all of it is 0 all weights matter alike.
    /// </summary>
    /// <returns>The unit of each: the power of two that brings its largest magnitude into [1, 2), or as near as a float allows.</returns>
    public Vector256<float> TransposeEach(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance)
    {
        Transpose(weights, 1, 0, _pairs);
        Vector256<float> largest = default;
        for (int i = 0; i < _pairs.Length; i += 2) largest = Vector256.MaxNative(largest, Vector256.Abs(_pairs[i]));
        // The bits of 2^-e are those of 2^e, the sign of the exponent turned; e is 127 at most, and 2^-127 no normal number.
        Vector256<uint> exponent = Vector256.Min(largest.AsUInt32() & Vector256.Create(0x7F800000u), Vector256.Create(253u << 23));
        Vector256<float> unit = (Vector256.Create(254u << 23) - exponent).AsSingle();
        for (int i = 0; i < _pairs.Length; i += 2) _pairs[i] *= unit;
        if (importance.IsEmpty)
        {
            for (int i = 1; i < _pairs.Length; i += 2) _pairs[i] = Vector256<float>.One;
            return unit;
        }
        Transpose(importance, 1, 0, _pairs[1..]);
        Vector256<float> sum = default, count = Vector256.Create(_pairs.Length / 2f);
        for (int i = 1; i < _pairs.Length; i += 2) sum += _pairs[i];
        Vector256<float> none = Vector256.Equals(sum, Vector256<float>.Zero);
        for (int i = 1; i < _pairs.Length; i += 2) _pairs[i] = Vector256.ConditionalSelect(none, Vector256<float>.One, _pairs[i] * (count / sum));
        return unit;
    }

    /// <summary>Puts one group into every lane.</summary>
    public void Repeat(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, float unit)
    {
        float importanceUnit = ImportanceUnit(importance);
        Span<Vector256<float>> pairs = _pairs[..(2 * weights.Length)];
        for (int i = 0, at = 0; at < pairs.Length - 1; i++, at += 2)
        {
            pairs[at] = Vector256.Create(weights[i] * unit);
            pairs[at + 1] = Vector256.Create(importance.IsEmpty ? 1 : BlockSearch.Shrinkage + importance[i] * importanceUnit);
        }
    }

    /// <summary>The power of two that brings the largest magnitude into [1/2, 1), or as near as a float allows.</summary>
    public static float WeightUnit(ReadOnlySpan<float> weights) => PowerOfTwoBelow(IntegerCodes.LargestMagnitude(weights));

    /// <summary>What makes the mean importance 1; 0 where all of it is 0, so that all weights matter alike.</summary>
    public static float ImportanceUnit(ReadOnlySpan<float> importance)
    {
        if (importance.IsEmpty) return 0;
        float unit = PowerOfTwoBelow(IntegerCodes.LargestMagnitude(importance));
        Vector256<float> sum = default;
        for (int i = 0; i < importance.Length; i += Lanes) sum += Vector256.Create(importance.Slice(i, Lanes)) * unit;
        float total = BlockSearch.Sum(sum);
        return total == 0 ? 0 : unit * (importance.Length / total);
    }

    private static float PowerOfTwoBelow(float largest) =>
        largest == 0 ? 1 : MathF.ScaleB(1, Math.Clamp(-1 - MathF.ILogB(largest), -110, 110));

    /// <summary>The least and the greatest weight of each group.</summary>
    public (Vector256<float> Lowest, Vector256<float> Highest) Interval()
    {
        Vector256<float> lowest = _pairs[0], highest = lowest;
        for (int i = 2; i < _pairs.Length; i += 2)
        {
            lowest = Vector256.Min(lowest, _pairs[i]);
            highest = Vector256.Max(highest, _pairs[i]);
        }
        return (lowest, highest);
    }

    /// <summary>The sums of least squares that do not depend on codes.</summary>
    public Moments Moments()
    {
        Vector256<float> importance = default, weight = default, square = default;
        for (int i = 0; i < _pairs.Length - 1; i += 2)
        {
            Vector256<float> x = _pairs[i], w = _pairs[i + 1], wx = w * x;
            importance += w;
            weight += wx;
            square = Vector256.FusedMultiplyAdd(wx, x, square);
        }
        return new Moments(importance, weight, square);
    }

    /// <summary>Rounds to codes from lowest to highest by weight = scale * code + offset, and sums over them.</summary>
    public CodeSums Sums(Vector256<float> scale, Vector256<float> offset, Vector256<float> lowest, Vector256<float> highest)
    {
        Vector256<float> inverse = Inverse(scale), shift = -offset * inverse;
        Vector256<float> code = default, square = default, product = default;
        ref Vector256<float> pair = ref MemoryMarshal.GetReference(_pairs);
        for (nint i = 0; i < _pairs.Length; i += 2)
        {
            Vector256<float> x = Unsafe.Add(ref pair, i);
            Vector256<float> q = Vector256.Round(Vector256.FusedMultiplyAdd(x, inverse, shift));
            q = Vector256.MinNative(Vector256.MaxNative(q, lowest), highest);
            Vector256<float> wq = Unsafe.Add(ref pair, i + 1) * q;
            code += wq;
            square = Vector256.FusedMultiplyAdd(wq, q, square);
            product = Vector256.FusedMultiplyAdd(wq, x, product);
        }
        return new CodeSums(code, square, product);
    }

    /// <summary>Rounds to codes from lowest to highest by weight = code / inverse.</summary>
    /// <param name="weighted">False if all importance is 1.</param>
    /// <returns>The sums of importance times code and weight, and times code squared.</returns>
    public (Vector256<float> Product, Vector256<float> Square) Products(
        Vector256<float> inverse, Vector256<float> lowest, Vector256<float> highest, bool weighted) =>
        weighted ? AddProducts(inverse, lowest, highest, true) : AddProducts(inverse, lowest, highest, false);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private (Vector256<float> Product, Vector256<float> Square) AddProducts(
        Vector256<float> inverse, Vector256<float> lowest, Vector256<float> highest, bool weighted)
    {
        // Two sums of each, so that an addition need not wait for the last.
        Vector256<float> evenProduct = default, evenSquare = default, oddProduct = default, oddSquare = default;
        ref Vector256<float> pair = ref MemoryMarshal.GetReference(_pairs);
        for (nint i = 0; i < _pairs.Length; i += 4)
        {
            Vector256<float> x = Unsafe.Add(ref pair, i), y = Unsafe.Add(ref pair, i + 2);
            Vector256<float> q = Vector256.MinNative(Vector256.MaxNative(Vector256.Round(x * inverse), lowest), highest);
            Vector256<float> r = Vector256.MinNative(Vector256.MaxNative(Vector256.Round(y * inverse), lowest), highest);
            Vector256<float> wq = weighted ? Unsafe.Add(ref pair, i + 1) * q : q, wr = weighted ? Unsafe.Add(ref pair, i + 3) * r : r;
            evenProduct = Vector256.FusedMultiplyAdd(wq, x, evenProduct);
            evenSquare = Vector256.FusedMultiplyAdd(wq, q, evenSquare);
            oddProduct = Vector256.FusedMultiplyAdd(wr, y, oddProduct);
            oddSquare = Vector256.FusedMultiplyAdd(wr, r, oddSquare);
        }
        return (evenProduct + oddProduct, evenSquare + oddSquare);
    }

    /// <summary>The weighted square error of each group when it is rounded by weight = scale * code + offset.</summary>
    public Vector256<float> Error(Vector256<float> scale, Vector256<float> offset, Vector256<float> lowest, Vector256<float> highest)
    {
        Vector256<float> inverse = Inverse(scale), negative = -scale;
        Vector256<float> even = default, odd = default; // two sums, so that an addition need not wait for the last
        ref Vector256<float> pair = ref MemoryMarshal.GetReference(_pairs);
        for (nint i = 0; i < _pairs.Length; i += 4)
        {
            even = AddError(even, Unsafe.Add(ref pair, i) - offset, Unsafe.Add(ref pair, i + 1), inverse, negative, lowest, highest);
            odd = AddError(odd, Unsafe.Add(ref pair, i + 2) - offset, Unsafe.Add(ref pair, i + 3), inverse, negative, lowest, highest);
        }
        return even + odd;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> AddError(Vector256<float> sum, Vector256<float> x, Vector256<float> w, Vector256<float> inverse,
        Vector256<float> negativeScale, Vector256<float> lowest, Vector256<float> highest)
    {
        Vector256<float> q = Vector256.MinNative(Vector256.MaxNative(Vector256.Round(x * inverse), lowest), highest);
        Vector256<float> rest = Vector256.FusedMultiplyAdd(q, negativeScale, x);
        return Vector256.FusedMultiplyAdd(w * rest, rest, sum);
    }

    /// <summary>Eight weights of each group: rows of a square, whose columns become the vectors.</summary>
    private static void TransposeSquare(ref float group, int apart, Vector256<float> units, Vector256<float> leasts, ref Vector256<float> pair)
    {
        // Lower lanes are groups 0 to 3, upper lanes 4 to 7: weights 0 and 1 of two groups, 2 and 3 of them, then one of four.
        for (int half = 0; half < 2; half++)
        {
            ref float from = ref Unsafe.Add(ref group, half * 4);
            Vector256<float> a = Rows(ref from, 0, apart), b = Rows(ref from, 1, apart), c = Rows(ref from, 2, apart), d = Rows(ref from, 3, apart);
            Vector256<float> ab = Avx.UnpackLow(a, b), abHigh = Avx.UnpackHigh(a, b), cd = Avx.UnpackLow(c, d), cdHigh = Avx.UnpackHigh(c, d);
            ref Vector256<float> to = ref Unsafe.Add(ref pair, half * 8);
            to = leasts + units * Avx.Shuffle(ab, cd, 0b01_00_01_00);
            Unsafe.Add(ref to, 2) = leasts + units * Avx.Shuffle(ab, cd, 0b11_10_11_10);
            Unsafe.Add(ref to, 4) = leasts + units * Avx.Shuffle(abHigh, cdHigh, 0b01_00_01_00);
            Unsafe.Add(ref to, 6) = leasts + units * Avx.Shuffle(abHigh, cdHigh, 0b11_10_11_10);
        }
    }

    /// <summary>Four weights of a group, and of the one four later.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Rows(ref float from, int group, int apart) => Vector256.Create(
        Vector128.LoadUnsafe(ref Unsafe.Add(ref from, group * apart)), Vector128.LoadUnsafe(ref Unsafe.Add(ref from, (group + 4) * apart)));

    /// <summary>1 / scale, and 0 for a scale of 0.</summary>
    internal static Vector256<float> Inverse(Vector256<float> scale) =>
        Vector256.AndNot(Vector256<float>.One / scale, Vector256.Equals(scale, Vector256<float>.Zero));

    private static void Transpose(ReadOnlySpan<float> groups, float unit, float least, Span<Vector256<float>> pairs)
    {
        int n = groups.Length / Lanes;
        Vector256<float> units = Vector256.Create(unit), leasts = Vector256.Create(least);
        int done = 0;
        if (Avx.IsSupported)
            for (; done + Lanes <= n; done += Lanes) TransposeSquare(ref Unsafe.Add(ref MemoryMarshal.GetReference(groups), done), n, units, leasts, ref pairs[2 * done]);
        for (int i = done; i < n; i++)
        {
            pairs[2 * i] = leasts + units * Vector256.Create(groups[i], groups[i + n], groups[i + 2 * n], groups[i + 3 * n],
                groups[i + 4 * n], groups[i + 5 * n], groups[i + 6 * n], groups[i + 7 * n]);
        }
    }
}

/// <summary>Of each group: the sums of importance, of importance times weight, and of importance times weight squared.</summary>
internal readonly record struct Moments(Vector256<float> Importance, Vector256<float> Weight, Vector256<float> Square);

/// <summary>Of each group: the sums of importance times code, times code squared, and times code and weight.</summary>
internal readonly record struct CodeSums(Vector256<float> Code, Vector256<float> Square, Vector256<float> Product);
