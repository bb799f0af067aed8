using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Kernels;

/// <summary>Exponentials of eight singles at once, in single precision throughout.</summary>
internal static class Exponential
{
    /// <summary>
    /// e to numbers that are at most 0, within two units in the last place; 0 below -87, where singles end. After Cephes
    /// (Moshier): 2 to a whole number, times a polynomial of the rest, which is at most half of ln 2. What is no number stays none.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Exp(Vector256<float> x)
    {
        Vector256<float> hidden = Vector256.LessThanOrEqual(x, Vector256.Create(-87f));
        x = Vector256.MaxNative(Vector256.Create(-87f), x);
        Vector256<float> n = Vector256.Round(x * Vector256.Create(1.44269504f));
        // ln 2 in two parts, the first of few bits, so that n times it is exact.
        Vector256<float> r = Vector256.MultiplyAddEstimate(n, Vector256.Create(-0.693359375f), x);
        r = Vector256.MultiplyAddEstimate(n, Vector256.Create(2.12194440e-4f), r);
        Vector256<float> p = Vector256.MultiplyAddEstimate(Vector256.Create(1.9875691500e-4f), r, Vector256.Create(1.3981999507e-3f));
        p = Vector256.MultiplyAddEstimate(p, r, Vector256.Create(8.3334519073e-3f));
        p = Vector256.MultiplyAddEstimate(p, r, Vector256.Create(4.1665795894e-2f));
        p = Vector256.MultiplyAddEstimate(p, r, Vector256.Create(1.6666665459e-1f));
        p = Vector256.MultiplyAddEstimate(p, r, Vector256.Create(5.0000001201e-1f));
        p = Vector256.MultiplyAddEstimate(p, r * r, r + Vector256<float>.One);
        Vector256<int> power = (Vector256.ConvertToInt32(n) + Vector256.Create(127)) << 23;
        return Vector256.AndNot(p * power.AsSingle(), hidden);
    }

    /// <summary>The logistic function, 1 / (1 + e to -x), within four units in the last place; 0 below -87.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Sigmoid(Vector256<float> x)
    {
        // Of e to -|x|, which is at most 1: 1 / (1 + e) on the right of 0, e / (1 + e) on its left.
        Vector256<float> e = Exp(-Vector256.Abs(x));
        return Vector256.ConditionalSelect(Vector256.LessThan(x, Vector256<float>.Zero), e, Vector256<float>.One) / (Vector256<float>.One + e);
    }
}
