using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Kernels;

/// <summary>Exponentials of eight singles at once, in single precision throughout.</summary>
internal static class Exponential
{
    /// <summary>The binary logarithm of e.</summary>
    public const float BitsOfE = 1.44269504f;

    /// <summary>ln 2 in two parts, the first of few bits, so that a whole number times it is exact.</summary>
    public const float FirstLn2 = 0.693359375f, SecondLn2 = -2.12194440e-4f;

    /// <summary>e to x is 1 + x + x² times this polynomial, the highest power first.</summary>
    public const float P5 = 1.9875691500e-4f, P4 = 1.3981999507e-3f, P3 = 8.3334519073e-3f, P2 = 4.1665795894e-2f, P1 = 1.6666665459e-1f, P0 = 5.0000001201e-1f;

    /// <summary>
    /// e to numbers that are at most 0, within two units in the last place; 0 below -87, where singles end. After Cephes
    /// (Moshier): 2 to a whole number, times a polynomial of the rest, which is at most half of ln 2. What is no number stays none.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Exp(Vector256<float> x)
    {
        Vector256<float> hidden = Vector256.LessThanOrEqual(x, Vector256.Create(-87f));
        x = Vector256.MaxNative(Vector256.Create(-87f), x);
        Vector256<float> n = Vector256.Round(x * Vector256.Create(BitsOfE));
        Vector256<float> r = Vector256.MultiplyAddEstimate(n, Vector256.Create(-FirstLn2), x);
        r = Vector256.MultiplyAddEstimate(n, Vector256.Create(-SecondLn2), r);
        Vector256<float> p = Vector256.MultiplyAddEstimate(Vector256.Create(P5), r, Vector256.Create(P4));
        p = Vector256.MultiplyAddEstimate(p, r, Vector256.Create(P3));
        p = Vector256.MultiplyAddEstimate(p, r, Vector256.Create(P2));
        p = Vector256.MultiplyAddEstimate(p, r, Vector256.Create(P1));
        p = Vector256.MultiplyAddEstimate(p, r, Vector256.Create(P0));
        p = Vector256.MultiplyAddEstimate(p, r * r, r + Vector256<float>.One);
        Vector256<int> power = (Vector256.ConvertToInt32Native(n) + Vector256.Create(127)) << 23;
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
