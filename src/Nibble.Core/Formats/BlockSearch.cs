using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>
/// What the searches for the parameters of a block share. Sums are taken in one fixed order and without fused
/// multiply-add, so that a block's bytes are the same on every processor.
/// </summary>
internal static class BlockSearch
{
    /// <summary>
    /// How much of the mean is mixed into the importance of each column. A sampled importance is uncertain, and a column
    /// that no sample reached still has to be stored; where importance is right, this costs half a percent of error.
    /// </summary>
    public const float Shrinkage = 0.15f;

    /// <summary>The weight of each squared error: the importance over its mean, shrunk; all ones where nothing is known.</summary>
    public static void ErrorWeights(ReadOnlySpan<float> importance, Span<float> errorWeights)
    {
        float sum = 0;
        foreach (float i in importance) sum += i;
        if (!(sum > 0) || !float.IsFinite(sum))
        {
            errorWeights.Fill(1);
            return;
        }
        float inverse = importance.Length / sum;
        for (int i = 0; i < importance.Length; i++)
            errorWeights[i] = (importance[i] * inverse + Shrinkage) / (1 + Shrinkage);
    }

    /// <summary>True if the options name a rule for the range that is not the format's own.</summary>
    public static bool HasRule(in FitOptions options) => options.Range is not null && options.Range != DynamicRange.Reference;

    /// <summary>The scale that the rule chooses for some weights under a table of levels.</summary>
    public static float ScaleByRule(in FitOptions options, ReadOnlySpan<float> weights, TableLevels levels)
    {
        (float low, float high) = options.Range!.Choose(weights, options.Importance, levels);
        return levels.Lay(low, high);
    }

    /// <summary>The half this many steps farther from zero, or nearer for a negative count; it never changes sign.</summary>
    public static Half Step(Half scale, int steps)
    {
        int bits = BitConverter.HalfToUInt16Bits(scale);
        int magnitude = Math.Clamp((bits & 0x7FFF) + steps, 0, 0x7BFF);
        return BitConverter.UInt16BitsToHalf((ushort)((bits & 0x8000) | magnitude));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(ReadOnlySpan<float> values, int at) =>
        Vector256.LoadUnsafe(ref MemoryMarshal.GetReference(values), (nuint)at);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Vector256<float> v)
    {
        Vector128<float> t = v.GetLower() + v.GetUpper();
        return (t[0] + t[2]) + (t[1] + t[3]);
    }

    /// <summary>The lane of the largest value, the first of several.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int LargestLane(Vector256<float> v)
    {
        Vector128<float> four = Vector128.MaxNative(v.GetLower(), v.GetUpper());
        Vector128<float> two = Vector128.MaxNative(four, Vector128.Shuffle(four, Vector128.Create(2, 3, 0, 1)));
        Vector128<float> one = Vector128.MaxNative(two, Vector128.Shuffle(two, Vector128.Create(1, 0, 3, 2)));
        uint lanes = Vector256.Equals(v, Vector256.Create(one, one)).ExtractMostSignificantBits();
        return BitOperations.TrailingZeroCount(lanes | 0x80);
    }
}
