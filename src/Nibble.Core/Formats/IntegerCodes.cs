using System.Diagnostics;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>
/// Weights as scale * code + offset with codes in signed bytes: from codes to weights and back. All groups are multiples
/// of 16 weights. The arithmetic is the same on every instruction set, so a file does not depend on the machine.
/// </summary>
internal static class IntegerCodes
{
    /// <summary>The weights of a block by its integer form.</summary>
    [SkipLocalsInit]
    public static void Decode<TBlock>(in TBlock block, Span<float> weights) where TBlock : unmanaged, IBlock<TBlock>
    {
        int groups = TBlock.Size / TBlock.Group;
        Span<sbyte> codes = stackalloc sbyte[TBlock.Size];
        Span<float> scales = stackalloc float[groups], offsets = stackalloc float[groups];
        TBlock.Unpack(in block, codes, scales, offsets);
        for (int g = 0; g < groups; g++)
            Expand(codes.Slice(g * TBlock.Group, TBlock.Group), scales[g], offsets[g], weights.Slice(g * TBlock.Group, TBlock.Group));
    }

    /// <summary>Replaces codes below 16 by levels.</summary>
    public static void LookUp(Span<sbyte> codes, Vector128<sbyte> levels)
    {
        int i = 0;
        for (; i <= codes.Length - 16; i += 16) Vector128.ShuffleNative(levels, Vector128.Create<sbyte>(codes[i..])).CopyTo(codes[i..]);
        for (; i < codes.Length; i++) codes[i] = levels[codes[i]];
    }

    /// <summary>weight = scale * code + offset. An offset of zero is not added: it would lose the sign of a zero.</summary>
    public static void Expand(ReadOnlySpan<sbyte> codes, float scale, float offset, Span<float> weights)
    {
        Debug.Assert(codes.Length % 16 == 0 && weights.Length == codes.Length);
        Vector256<float> scales = Vector256.Create(scale), offsets = Vector256.Create(offset);
        for (int i = 0; i < codes.Length; i += 16)
        {
            (Vector256<float> low, Vector256<float> high) = ToFloats(Vector128.Create(codes.Slice(i, 16)));
            low *= scales;
            high *= scales;
            if (offset != 0)
            {
                low += offsets;
                high += offsets;
            }
            low.CopyTo(weights[i..]);
            high.CopyTo(weights[(i + 8)..]);
        }
    }

    /// <summary>The nearest codes, ties to even: round((weight - offset) / scale), clamped.</summary>
    public static void Round(ReadOnlySpan<float> weights, float scale, float offset, int lowest, int highest, Span<sbyte> codes)
    {
        Debug.Assert(weights.Length % 16 == 0);
        Vector256<float> inverse = Vector256.Create(Inverse(scale)), offsets = Vector256.Create(offset);
        Vector256<float> low = Vector256.Create((float)lowest), high = Vector256.Create((float)highest);
        for (int i = 0; i < weights.Length; i += 16)
        {
            Vector256<float> first = Vector256.Round((Vector256.Create(weights.Slice(i, 8)) - offsets) * inverse);
            Vector256<float> second = Vector256.Round((Vector256.Create(weights.Slice(i + 8, 8)) - offsets) * inverse);
            ToBytes(Vector256.MinNative(Vector256.MaxNative(first, low), high), Vector256.MinNative(Vector256.MaxNative(second, low), high)).CopyTo(codes[i..]);
        }
    }

    /// <summary>The nearest codes of a block whose groups have a scale and an offset each.</summary>
    public static void RoundGroups(ReadOnlySpan<float> weights, ReadOnlySpan<float> scales, ReadOnlySpan<float> offsets,
        int lowest, int highest, Span<sbyte> codes)
    {
        int group = weights.Length / scales.Length;
        for (int g = 0; g < scales.Length; g++)
            Round(weights.Slice(g * group, group), scales[g], offsets[g], lowest, highest, codes.Slice(g * group, group));
    }

    /// <summary>As <see cref="Round(ReadOnlySpan{float},float,float,int,int,Span{sbyte})"/>, for one weight.</summary>
    public static int Round(float weight, float scale, float offset, int lowest, int highest) =>
        (int)MathF.Min(MathF.Max(MathF.Round((weight - offset) * Inverse(scale)), lowest), highest);

    /// <summary>
    /// The codes of ggml's plain formats: (weight - offset) * inverse + bias, cut to an integer, no more than highest.
    /// </summary>
    public static void Truncate(ReadOnlySpan<float> weights, float inverse, float offset, float bias, int highest, Span<sbyte> codes)
    {
        Vector256<float> inverses = Vector256.Create(inverse), offsets = Vector256.Create(offset), biases = Vector256.Create(bias);
        Vector256<float> high = Vector256.Create((float)highest);
        for (int i = 0; i < weights.Length; i += 16)
        {
            Vector256<float> first = (Vector256.Create(weights.Slice(i, 8)) - offsets) * inverses + biases;
            Vector256<float> second = (Vector256.Create(weights.Slice(i + 8, 8)) - offsets) * inverses + biases;
            ToBytes(Vector256.MinNative(first, high), Vector256.MinNative(second, high)).CopyTo(codes[i..]);
        }
    }

    /// <summary>The codes of ggml's other plain formats: weight * inverse to nearest, halves away from zero, clamped.</summary>
    public static void RoundAway(ReadOnlySpan<float> weights, float inverse, int lowest, int highest, Span<sbyte> codes)
    {
        Vector256<float> inverses = Vector256.Create(inverse);
        Vector256<float> low = Vector256.Create((float)lowest), high = Vector256.Create((float)highest);
        for (int i = 0; i < weights.Length; i += 16)
        {
            Vector256<float> first = RoundAway(Vector256.Create(weights.Slice(i, 8)) * inverses);
            Vector256<float> second = RoundAway(Vector256.Create(weights.Slice(i + 8, 8)) * inverses);
            ToBytes(Vector256.MinNative(Vector256.MaxNative(first, low), high), Vector256.MinNative(Vector256.MaxNative(second, low), high)).CopyTo(codes[i..]);
        }
    }

    /// <summary>Adds a number to every code.</summary>
    public static void Shift(Span<sbyte> codes, int by)
    {
        Vector128<sbyte> shift = Vector128.Create((sbyte)by);
        int i = 0;
        for (; i <= codes.Length - 16; i += 16)
        {
            Span<sbyte> place = codes.Slice(i, 16);
            (Vector128.Create<sbyte>(place) + shift).CopyTo(place);
        }
        for (; i < codes.Length; i++) codes[i] += (sbyte)by;
    }

    /// <summary>1 / scale, and 0 for a scale of 0: every weight then gets code 0.</summary>
    public static float Inverse(float scale) => scale == 0 ? 0 : 1 / scale;

    /// <summary>To 16 bits; what lies beyond them becomes the largest finite number, never infinity.</summary>
    public static Half ToHalf(float value) => (Half)Math.Clamp(value, -65504f, 65504f);

    /// <summary>The weight of largest magnitude, with its sign; the first of several.</summary>
    public static float Extreme(ReadOnlySpan<float> weights)
    {
        float largest = LargestMagnitude(weights);
        if (largest == 0) return 0;
        Vector256<float> wanted = Vector256.Create(largest);
        for (int i = 0; i < weights.Length; i += 8)
            if (Vector256.Equals(Vector256.Abs(Vector256.Create(weights.Slice(i, 8))), wanted).ExtractMostSignificantBits() is var found and not 0)
                return weights[i + BitOperations.TrailingZeroCount(found)];
        return 0;
    }

    public static float LargestMagnitude(ReadOnlySpan<float> weights)
    {
        Vector256<float> largest = Vector256<float>.Zero;
        for (int i = 0; i < weights.Length; i += 8)
            largest = Vector256.MaxNative(largest, Vector256.Abs(Vector256.Create(weights.Slice(i, 8))));
        Vector128<float> four = Vector128.MaxNative(largest.GetLower(), largest.GetUpper());
        Vector128<float> two = Vector128.MaxNative(four, Vector128.Shuffle(four, Vector128.Create(2, 3, 0, 1)));
        return Vector128.MaxNative(two, Vector128.Shuffle(two, Vector128.Create(1, 0, 3, 2))).ToScalar();
    }

    public static (float Lowest, float Highest) Interval(ReadOnlySpan<float> weights)
    {
        Vector256<float> lowest = Vector256.Create(weights[..8]), highest = lowest;
        for (int i = 8; i < weights.Length; i += 8)
        {
            Vector256<float> w = Vector256.Create(weights.Slice(i, 8));
            lowest = Vector256.Min(lowest, w);
            highest = Vector256.Max(highest, w);
        }
        (float low, float high) = (lowest[0], highest[0]);
        for (int i = 1; i < 8; i++)
        {
            low = MathF.Min(low, lowest[i]);
            high = MathF.Max(high, highest[i]);
        }
        return (low, high);
    }

    private static Vector256<float> RoundAway(Vector256<float> x)
    {
        Vector256<float> whole = Vector256.Truncate(x), rest = x - whole; // exact
        Vector256<float> half = Vector256.Create(0.5f);
        Vector256<float> up = Vector256.GreaterThanOrEqual(rest, half) & Vector256<float>.One;
        Vector256<float> down = Vector256.LessThanOrEqual(rest, -half) & Vector256<float>.One;
        return whole + up - down;
    }

    /// <summary>16 signed bytes as floats, in order.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector256<float> Low, Vector256<float> High) ToFloats(Vector128<sbyte> codes)
    {
        Vector256<short> words = Vector256.WidenLower(codes.ToVector256Unsafe());
        return (Vector256.ConvertToSingle(Vector256.WidenLower(words)), Vector256.ConvertToSingle(Vector256.WidenUpper(words)));
    }

    /// <summary>16 floats, cut to integers that must fit, as signed bytes in order.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<sbyte> ToBytes(Vector256<float> low, Vector256<float> high)
    {
        Vector256<short> words = Vector256.NarrowWithSaturation(Vector256.ConvertToInt32Native(low), Vector256.ConvertToInt32Native(high));
        return Vector128.NarrowWithSaturation(words.GetLower(), words.GetUpper());
    }
}
