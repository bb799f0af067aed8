using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>
/// The levels of a scalar quantizer at any distances, one for each code: <c>weight = scale * level[code]</c>. Decoding is
/// a look-up; where 16 levels suffice, one in registers.
/// </summary>
internal sealed class LevelTable
{
    private const int RegisterLevels = 16;

    private readonly float[] _levels;
    private readonly float[] _sorted;
    private readonly byte[] _codes;
    private readonly float[] _boundaries;

    /// <param name="levels">By code, as many as there are codes. Of equal levels the first is used.</param>
    /// <param name="geometric">
    /// Rounding is nearest in the logarithm: a boundary is the geometric mean of its neighbours, and the one beside zero lies
    /// as far below the least magnitude as the next lies above it. Otherwise nearest in value.
    /// </param>
    public LevelTable(float[] levels, bool geometric = false)
    {
        Bits = int.Log2(levels.Length);
        _levels = levels;
        _codes = [.. Enumerable.Range(0, levels.Length).DistinctBy(c => levels[c] + 0f).OrderBy(c => levels[c]).Select(c => (byte)c)];
        _sorted = [.. _codes.Select(c => levels[c] + 0f)];
        _boundaries = [.. Enumerable.Range(0, _sorted.Length - 1).Select(i => geometric ? GeometricMean(i) : (_sorted[i] + _sorted[i + 1]) / 2)];
        Largest = Math.Max(-_sorted[0], _sorted[^1]);
    }

    /// <summary>Bits a code.</summary>
    public int Bits { get; }

    /// <summary>Different levels.</summary>
    public int Count => _sorted.Length;

    /// <summary>The largest magnitude.</summary>
    public float Largest { get; }

    public float this[int code] => _levels[code];

    private float GeometricMean(int below)
    {
        float a = _sorted[below], b = _sorted[below + 1];
        if (a == 0) return below + 2 < _sorted.Length ? b * MathF.Sqrt(b / _sorted[below + 2]) : b / 2;
        if (b == 0) return below > 0 ? a * MathF.Sqrt(a / _sorted[below - 1]) : a / 2;
        return MathF.CopySign(MathF.Sqrt(Math.Abs(a)) * MathF.Sqrt(Math.Abs(b)), a);
    }

    /// <summary>The inverse of a scale; 0 for one so small that it would overflow.</summary>
    private static float Inverse(float scale) => MathF.Abs(scale) < 1e-37f ? 0 : 1 / scale;

    /// <summary>The place among the sorted levels of a weight over its scale: how many boundaries lie below it.</summary>
    private int Place(float x)
    {
        int place = 0;
        for (int half = RoundUpToPower(_boundaries.Length + 1) / 2; half > 0; half /= 2)
            if (place + half <= _boundaries.Length && x > _boundaries[place + half - 1]) place += half;
        return place;
    }

    private static int RoundUpToPower(int n) => 1 << (32 - int.LeadingZeroCount(n - 1));

    /// <summary>The value that a weight becomes.</summary>
    public float Round(float weight, float scale) => scale * _sorted[Place(weight * Inverse(scale))];

    /// <summary>The code of the nearest level of each weight.</summary>
    public void Quantize(ReadOnlySpan<float> weights, float scale, Span<byte> codes)
    {
        float inverse = Inverse(scale);
        int i = 0;
        if (Vector256.IsHardwareAccelerated && Count <= RegisterLevels)
        {
            Span<int> places = stackalloc int[8];
            for (; i + 8 <= weights.Length; i += 8)
            {
                Vector256<float> x = Vector256.Create(weights.Slice(i, 8)) * Vector256.Create(inverse);
                // A comparison that holds is -1 in its lane.
                Vector256<int> place = default;
                foreach (float boundary in _boundaries) place -= Vector256.GreaterThan(x, Vector256.Create(boundary)).AsInt32();
                place.CopyTo(places);
                for (int j = 0; j < 8; j++) codes[i + j] = _codes[places[j]];
            }
        }
        for (; i < weights.Length; i++) codes[i] = _codes[Place(weights[i] * inverse)];
    }

    /// <summary>The weights of codes.</summary>
    public void Dequantize(ReadOnlySpan<byte> codes, float scale, Span<float> weights)
    {
        int i = 0;
        if (Vector256.IsHardwareAccelerated && Bits <= 4)
        {
            (Vector256<float> lower, Vector256<float> upper) = Scaled(scale);
            ref byte from = ref MemoryMarshal.GetReference(codes);
            ref float to = ref MemoryMarshal.GetReference(weights[..codes.Length]);
            for (; i + 16 <= codes.Length; i += 16)
            {
                (Vector256<int> a, Vector256<int> b) = Lanes.ToInts(Vector128.LoadUnsafe(ref from, (nuint)i));
                Lanes.LookUp(lower, upper, a).StoreUnsafe(ref to, (nuint)i);
                Lanes.LookUp(lower, upper, b).StoreUnsafe(ref to, (nuint)i + 8);
            }
        }
        float[] levels = _levels;
        for (; i < codes.Length; i++) weights[i] = scale * levels[codes[i]];
    }

    /// <summary>Levels 0 to 7 and 8 to 15 times the scale.</summary>
    private (Vector256<float> Lower, Vector256<float> Upper) Scaled(float scale)
    {
        var factor = Vector256.Create(scale);
        if (_levels.Length == RegisterLevels)
            return (Vector256.Create(_levels.AsSpan(0, 8)) * factor, Vector256.Create(_levels.AsSpan(8, 8)) * factor);
        Span<float> padded = stackalloc float[8];
        padded.Clear();
        _levels.CopyTo(padded);
        return (Vector256.Create((ReadOnlySpan<float>)padded) * factor, default);
    }

    /// <summary>The sum of squared errors of rounding, each times its importance where there is one.</summary>
    public double Error(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, float scale)
    {
        float inverse = Inverse(scale);
        double sum = 0;
        int i = 0;
        if (Vector256.IsHardwareAccelerated && Count <= RegisterLevels)
        {
            while (i + 8 <= weights.Length)
            {
                // Float lanes sum 64 squares at most before they are added in double.
                Vector256<float> part = default;
                for (int end = Math.Min(weights.Length, i + 512); i + 8 <= end; i += 8)
                {
                    Vector256<float> w = Vector256.Create(weights.Slice(i, 8)), e = w - Vector256.Create(scale) * Nearest(w * Vector256.Create(inverse));
                    part += importance.IsEmpty ? e * e : e * e * Vector256.Create(importance.Slice(i, 8));
                }
                sum += Vector256.Sum(part);
            }
        }
        for (; i < weights.Length; i++)
        {
            double e = weights[i] - scale * _sorted[Place(weights[i] * inverse)];
            sum += importance.IsEmpty ? e * e : e * e * importance[i];
        }
        return sum;
    }

    private Vector256<float> Nearest(Vector256<float> x)
    {
        var level = Vector256.Create(_sorted[0]);
        for (int k = 0; k < _boundaries.Length; k++)
            level = Vector256.ConditionalSelect(Vector256.GreaterThan(x, Vector256.Create(_boundaries[k])), Vector256.Create(_sorted[k + 1]), level);
        return level;
    }

    /// <summary>
    /// The levels as whole numbers of a signed byte times a power of two, by code, or null if they are not: shifts for
    /// powers of two and sums of them.
    /// </summary>
    public (sbyte[] Levels, float Unit)? Whole()
    {
        for (int shift = 0; shift < 16; shift++)
        {
            float factor = 1 << shift;
            if (Largest * factor > 127) return null;
            if (_levels.All(l => l * factor == MathF.Round(l * factor)))
                return ([.. _levels.Select(l => (sbyte)(l * factor))], 1 / factor);
        }
        return null;
    }
}

/// <summary>The levels of a table, laid over an interval that is symmetric about zero.</summary>
/// <param name="table">The levels.</param>
/// <param name="powerOfTwo">The scale is the least power of two that covers the interval.</param>
internal sealed class TableLevels(LevelTable table, bool powerOfTwo) : IQuantizerLevels
{
    public int Count => table.Count;
    public bool Symmetric => true;

    /// <summary>The scale that brings the largest level to the end of the interval.</summary>
    public float Lay(float low, float high)
    {
        float scale = Math.Max(Math.Abs(low), Math.Abs(high)) / table.Largest;
        return powerOfTwo && scale > 0 ? MathF.ScaleB(1, ScaleArray.ExponentAtLeast(scale)) : scale;
    }

    public float Round(float weight, float low, float high) => table.Round(weight, Lay(low, high));

    public double Error(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, float low, float high) =>
        table.Error(weights, importance, Lay(low, high));
}
