using System.Numerics.Tensors;
using Nibble.Core;

namespace Nibble.Quantization.Calibration;

/// <summary>
/// What GPTQ and its kin need of the moments H, taken in the order the columns are quantized: the upper triangular U with
/// H⁻¹ = Uᵀ U. After column i was rounded with error e, the columns after it are best corrected by -(e / U[i, i]) U[i, j],
/// and the error that remains costs (e / U[i, i])² (Frantar et al., arXiv:2210.17323).
/// </summary>
public sealed class ErrorFeedback
{
    private readonly float[] _upper;

    private ErrorFeedback(int[] order, float[] upper, double damping)
    {
        Order = order;
        _upper = upper;
        Damping = damping;
    }

    /// <summary>The columns in the order they are quantized.</summary>
    public int[] Order { get; }

    /// <summary>The share of the mean diagonal that was added to it; more than was asked for if less did not do.</summary>
    public double Damping { get; }

    public int Columns => Order.Length;

    /// <summary>Row i of U from column i on.</summary>
    public ReadOnlySpan<float> Row(int i) => _upper.AsSpan(i * Columns + i, Columns - i);

    /// <summary>Row i of U between two columns.</summary>
    public ReadOnlySpan<float> Row(int i, int from, int to) => _upper.AsSpan(i * Columns + from, to - from);

    public float Diagonal(int i) => _upper[i * Columns + i];

    /// <param name="moments">Of the layer's input.</param>
    /// <param name="order">Each column once, in the order of quantizing.</param>
    /// <param name="damping">Share of the mean diagonal added to it; raised tenfold while the matrix is not positive definite.</param>
    /// <exception cref="UnusableInputException">The moments are zero or not finite, or no damping up to the mean diagonal helps.</exception>
    public static ErrorFeedback Of(InputMoments moments, int[] order, double damping)
    {
        int n = order.Length;
        double mean = 0;
        for (int i = 0; i < n; i++) mean += moments[i, i] / (double)n;
        if (!(mean > 0) || !double.IsFinite(mean))
            throw new UnusableInputException($"the calibration inputs have a mean square of {mean}; the text or the model is unusable");
        for (double share = damping; share <= 1; share *= 10)
            if (Factor(moments, order, share * mean) is { } lower)
                return new ErrorFeedback(order, InvertReversed(lower, n), share);
        throw new UnusableInputException("the moments of the calibration inputs are not positive definite, whatever the damping");
    }

    /// <summary>
    /// The Cholesky factor of H with its columns in reverse order, lower triangular, or null. In the order itself the factor
    /// is upper triangular, and its inverse is U.
    /// </summary>
    private static double[]? Factor(InputMoments moments, int[] order, double added)
    {
        int n = order.Length;
        var lower = new double[n * n];
        for (int i = 0; i < n; i++)
        {
            Span<double> row = lower.AsSpan(i * n, i + 1);
            int column = order[n - 1 - i];
            for (int j = 0; j <= i; j++)
            {
                double h = moments[column, order[n - 1 - j]];
                // A column that was never seen has no say; one keeps the factor regular.
                if (i == j) h = h == 0 ? added : h + added;
                double rest = h - TensorPrimitives.Dot<double>(row[..j], lower.AsSpan(j * n, j));
                if (i > j) row[j] = rest / lower[j * n + j];
                else if (rest > 0 && double.IsFinite(rest)) row[j] = Math.Sqrt(rest);
                else return null;
            }
        }
        return lower;
    }

    /// <summary>The inverse of a lower triangular matrix, both its orders reversed again, in single precision.</summary>
    private static float[] InvertReversed(double[] lower, int n)
    {
        var inverse = new double[n * n];
        for (int i = 0; i < n; i++)
        {
            Span<double> row = inverse.AsSpan(i * n, i + 1);
            for (int k = 0; k < i; k++)
                if (lower[i * n + k] is var factor and not 0)
                    TensorPrimitives.MultiplyAdd(inverse.AsSpan(k * n, k + 1), -factor, row[..(k + 1)], row[..(k + 1)]);
            row[i] = 1;
            TensorPrimitives.Multiply(row, 1 / lower[i * n + i], row);
        }
        var upper = new float[n * n];
        for (int i = 0; i < n; i++)
            for (int j = 0; j <= i; j++)
                upper[(n - 1 - i) * n + n - 1 - j] = (float)inverse[i * n + j];
        return upper;
    }
}
