using System.Runtime.CompilerServices;
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

    // For look-ups in registers: boundaries filled up with infinity, sorted levels and their codes.
    private readonly float[] _boundaries16 = new float[RegisterLevels], _sorted16 = new float[RegisterLevels];
    private readonly byte[] _codes16 = new byte[RegisterLevels];

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
        if (Count > RegisterLevels) return;
        Array.Fill(_boundaries16, float.PositiveInfinity);
        _boundaries.CopyTo(_boundaries16, 0);
        _sorted.CopyTo(_sorted16, 0);
        _codes.CopyTo(_codes16, 0);
    }

    /// <summary>Bits a code.</summary>
    public int Bits { get; }

    /// <summary>Different levels.</summary>
    public int Count => _sorted.Length;

    /// <summary>The largest magnitude.</summary>
    public float Largest { get; }

    /// <summary>By code.</summary>
    public ReadOnlySpan<float> Levels => _levels;

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
            var boundaries = new Table16(_boundaries16);
            var mapping = Vector128.Create(_codes16);
            var factor = Vector256.Create(inverse);
            for (; i + 16 <= weights.Length; i += 16)
            {
                // Two times eight places narrow to sixteen bytes in order, which a byte shuffle turns into codes.
                Vector256<int> a = Place(Vector256.Create(weights.Slice(i, 8)) * factor, boundaries);
                Vector256<int> b = Place(Vector256.Create(weights.Slice(i + 8, 8)) * factor, boundaries);
                Vector256<ushort> narrow = Vector256.Narrow(a.AsUInt32(), b.AsUInt32());
                Vector128.Shuffle(mapping, Vector128.Narrow(narrow.GetLower(), narrow.GetUpper())).CopyTo(codes[i..]);
            }
        }
        for (; i < weights.Length; i++) codes[i] = _codes[Place(weights[i] * inverse)];
    }

    /// <summary>The scalar search, each lane by itself: four comparisons, whose boundary is looked up by the place so far.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Place(Vector256<float> x, in Table16 boundaries)
    {
        Vector256<int> place = Vector256.GreaterThan(x, Vector256.Create(boundaries.Lower[7])).AsInt32() & Vector256.Create(8);
        place += Vector256.GreaterThan(x, boundaries.LookUp(place + Vector256.Create(3))).AsInt32() & Vector256.Create(4);
        place += Vector256.GreaterThan(x, boundaries.LookUp(place + Vector256.Create(1))).AsInt32() & Vector256.Create(2);
        return place + (Vector256.GreaterThan(x, boundaries.LookUp(place)).AsInt32() & Vector256.Create(1));
    }

    /// <summary>The weights of codes.</summary>
    public void Dequantize(ReadOnlySpan<byte> codes, float scale, Span<float> weights)
    {
        int i = 0;
        if (Vector256.IsHardwareAccelerated && Bits <= 4)
        {
            Table16 levels16 = Scaled(scale);
            ref byte from = ref MemoryMarshal.GetReference(codes);
            ref float to = ref MemoryMarshal.GetReference(weights[..codes.Length]);
            for (; i + 16 <= codes.Length; i += 16)
                Store(levels16, Vector128.LoadUnsafe(ref from, (nuint)i), ref to, i);
        }
        float[] levels = _levels;
        for (; i < codes.Length; i++) weights[i] = scale * levels[codes[i]];
    }

    /// <summary>The weights of 4-bit codes, two a byte: as unpacking and <see cref="Dequantize"/>, in one pass.</summary>
    /// <param name="packed">16 bytes for each 32 weights.</param>
    /// <param name="scale">Of all of them.</param>
    /// <param name="weights">A multiple of 32.</param>
    public void DequantizeNibbles(ReadOnlySpan<byte> packed, float scale, Span<float> weights)
    {
        Table16 levels = Scaled(scale);
        ref byte from = ref MemoryMarshal.GetReference(packed[..(weights.Length / 2)]);
        ref float to = ref MemoryMarshal.GetReference(weights);
        for (int i = 0; i < weights.Length; i += 32)
        {
            (Vector128<byte> first, Vector128<byte> second) = BitPacking.SplitNibbles(Vector128.LoadUnsafe(ref from, (nuint)i / 2));
            Store(levels, first, ref to, i);
            Store(levels, second, ref to, i + 16);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(in Table16 levels, Vector128<byte> codes, ref float to, int at)
    {
        (Vector256<int> a, Vector256<int> b) = Lanes.ToInts(codes);
        levels.LookUp(a).StoreUnsafe(ref to, (nuint)at);
        levels.LookUp(b).StoreUnsafe(ref to, (nuint)at + 8);
    }

    /// <summary>The levels by code, times the scale; zeros beyond the last.</summary>
    private Table16 Scaled(float scale)
    {
        if (_levels.Length == RegisterLevels) return new Table16(_levels, scale);
        Span<float> padded = stackalloc float[RegisterLevels];
        padded.Clear();
        _levels.CopyTo(padded);
        return new Table16(padded, scale);
    }

    /// <summary>The sum of squared errors of rounding, each times its importance where there is one.</summary>
    public double Error(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, float scale)
    {
        float inverse = Inverse(scale);
        double sum = 0;
        int i = 0;
        if (Vector256.IsHardwareAccelerated && Count <= RegisterLevels)
        {
            var boundaries = new Table16(_boundaries16);
            var sorted = new Table16(_sorted16, scale);
            var factor = Vector256.Create(inverse);
            while (i + 8 <= weights.Length)
            {
                // Float lanes sum 64 squares at most before they are added in double.
                Vector256<float> part = default;
                for (int end = Math.Min(weights.Length, i + 512); i + 8 <= end; i += 8)
                {
                    var w = Vector256.Create(weights.Slice(i, 8));
                    Vector256<float> e = w - sorted.LookUp(Place(w * factor, boundaries));
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
