using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Nibble.Quantization.Evaluation;

/// <summary>What one row of logits says about the token that really came, and how far two rows lie apart.</summary>
public static class LogitStatistics
{
    /// <summary>The logarithm of the sum of exponentials, summed in float64.</summary>
    public static double LogSumExp(ReadOnlySpan<float> logits)
    {
        float max = TensorPrimitives.Max(logits);
        return max + Math.Log(WeightedExpSum(logits, max, logits, default).Exp);
    }

    /// <summary>The negative log-likelihood of a token, in nats.</summary>
    public static double NegativeLogLikelihood(ReadOnlySpan<float> logits, int token) => LogSumExp(logits) - logits[token];

    /// <summary>
    /// The Kullback-Leibler divergence KL(reference || model) of two rows of logits, in nats:
    /// sum p (log p - log q) = sum p (a - b) - lse(a) + lse(b), for logits a of the reference and b of the model.
    /// </summary>
    public static double Divergence(ReadOnlySpan<float> reference, ReadOnlySpan<float> model)
    {
        float max = TensorPrimitives.Max(reference);
        (double exp, double weighted) = WeightedExpSum(reference, max, reference, model);
        double divergence = weighted / exp - (max + Math.Log(exp)) + LogSumExp(model);
        return Math.Max(divergence, 0);
    }

    /// <summary>Sums of exp(x - max), and of exp(x - max) (a - b) where b is given.</summary>
    private static (double Exp, double Weighted) WeightedExpSum(
        ReadOnlySpan<float> x, float max, ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        // Eight floats a step; each half is widened to four doubles before it is added.
        ReadOnlySpan<Vector256<float>> xs = MemoryMarshal.Cast<float, Vector256<float>>(x);
        ReadOnlySpan<Vector256<float>> differencesA = MemoryMarshal.Cast<float, Vector256<float>>(a);
        ReadOnlySpan<Vector256<float>> differencesB = MemoryMarshal.Cast<float, Vector256<float>>(b);
        Vector256<double> sum = default, weighted = default;
        Vector256<float> maximum = Vector256.Create(max);
        for (int i = 0; i < xs.Length; i++)
        {
            Vector256<float> exp = Vector256.Exp(xs[i] - maximum);
            (Vector256<double> low, Vector256<double> high) = Vector256.Widen(exp);
            sum += low + high;
            if (b.IsEmpty) continue;
            (Vector256<double> lowDifference, Vector256<double> highDifference) = Vector256.Widen(differencesA[i] - differencesB[i]);
            weighted += low * lowDifference + high * highDifference;
        }
        double total = Vector256.Sum(sum), totalWeighted = Vector256.Sum(weighted);
        for (int i = xs.Length * Vector256<float>.Count; i < x.Length; i++)
        {
            double exp = Math.Exp(x[i] - max);
            total += exp;
            if (!b.IsEmpty) totalWeighted += exp * ((double)a[i] - b[i]);
        }
        return (total, totalWeighted);
    }
}
