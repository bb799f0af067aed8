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
    private const float Shrinkage = 0.15f;

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
}
