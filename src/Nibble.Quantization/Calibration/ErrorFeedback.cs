using System.Numerics.Tensors;
using Nibble.Core;
using Nibble.Core.Threading;

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
    /// <param name="pool">The workers that share the factorization.</param>
    /// <exception cref="UnusableInputException">The moments are zero or not finite, or no damping up to the mean diagonal helps.</exception>
    public static ErrorFeedback Of(InputMoments moments, int[] order, double damping, WorkerPool pool)
    {
        int n = order.Length;
        double mean = 0;
        for (int i = 0; i < n; i++) mean += moments[i, i] / (double)n;
        if (!(mean > 0) || !double.IsFinite(mean))
            throw new UnusableInputException($"the calibration inputs have a mean square of {mean}; the text or the model is unusable");
        for (double share = damping; share <= 1; share *= 10)
            if (Factor(moments, order, share * mean, pool) is { } lower)
                return new ErrorFeedback(order, InvertReversed(lower, n, pool), share);
        throw new UnusableInputException("the moments of the calibration inputs are not positive definite, whatever the damping");
    }

    /// <summary>
    /// (H + damping)⁻¹ applied to a vector: <paramref name="v"/> Uᵀ U, both in the order of quantizing.
    /// </summary>
    public void Solve(Span<float> v)
    {
        int n = Columns;
        for (int i = 0; i < n; i++) v[i] = TensorPrimitives.Dot<float>(v[i..], Row(i));
        for (int i = n - 1; i >= 0; i--)
        {
            float factor = v[i];
            v[i] = 0;
            TensorPrimitives.MultiplyAdd(Row(i), factor, v[i..], v[i..]);
        }
    }

    /// <summary>
    /// The Cholesky factor of H with its columns in reverse order, lower triangular, or null. In the order itself the factor
    /// is upper triangular, and its inverse is U.
    /// </summary>
    private static double[]? Factor(InputMoments moments, int[] order, double added, WorkerPool pool)
    {
        int n = order.Length;
        var lower = new double[(long)n * n];
        for (int first = 0; first < n; first += FactorRows)
        {
            int end = Math.Min(first + FactorRows, n);
            // What a band of rows owes to the rows before it is each row's own affair; the triangle that is left is small.
            var band = new BandJob { Moments = moments, Order = order, Lower = lower, First = first, End = end, Added = added };
            pool.Run(ref band);
            for (int i = first; i < end; i++)
                if (!FinishRow(lower, n, first, i)) return null;
        }
        return lower;
    }

    private const int FactorRows = 64;

    private struct BandJob : IParallelJob
    {
        public InputMoments Moments;
        public int[] Order;
        public double[] Lower;
        public int First, End;
        public double Added;
        private int _taken;

        public void Run(int worker, int workers)
        {
            int n = Order.Length;
            for (int i; (i = First + Interlocked.Increment(ref _taken) - 1) < End;)
            {
                Span<double> row = Lower.AsSpan(i * n, i + 1);
                int column = Order[n - 1 - i];
                for (int j = 0; j <= i; j++) row[j] = Moments[column, Order[n - 1 - j]];
                row[i] += Added;
                for (int j = 0; j < First; j++)
                    row[j] = (row[j] - TensorPrimitives.Dot<double>(row[..j], Lower.AsSpan(j * n, j))) / Lower[j * n + j];
            }
        }
    }

    /// <summary>The entries of a row within its band; false if the matrix is not positive definite.</summary>
    private static bool FinishRow(double[] lower, int n, int first, int i)
    {
        Span<double> row = lower.AsSpan(i * n, i + 1);
        for (int j = first; j < i; j++)
            row[j] = (row[j] - TensorPrimitives.Dot<double>(row[..j], lower.AsSpan(j * n, j))) / lower[j * n + j];
        double rest = row[i] - TensorPrimitives.SumOfSquares<double>(row[..i]);
        row[i] = Math.Sqrt(rest);
        return rest > 0 && double.IsFinite(rest);
    }

    /// <summary>The inverse of a lower triangular matrix, both its orders reversed again, in single precision.</summary>
    private static float[] InvertReversed(double[] lower, int n, WorkerPool pool)
    {
        var upper = new float[(long)n * n];
        var job = new InvertJob { Lower = lower, Upper = upper, N = n };
        pool.Run(ref job);
        return upper;
    }

    /// <summary>Columns of the inverse do not know of each other: workers take them in bands.</summary>
    private struct InvertJob : IParallelJob
    {
        private const int Band = 32;

        public double[] Lower;
        public float[] Upper;
        public int N;
        private int _taken;

        public void Run(int worker, int workers)
        {
            int n = N;
            var inverse = new double[n * Band];
            for (int first; (first = Interlocked.Add(ref _taken, Band) - Band) < n;)
            {
                int width = Math.Min(Band, n - first);
                inverse.AsSpan().Clear();
                for (int i = first; i < n; i++)
                {
                    Span<double> row = inverse.AsSpan(i * Band, Band);
                    for (int k = first; k < i; k++)
                        TensorPrimitives.MultiplyAdd(inverse.AsSpan(k * Band, Band), -Lower[i * n + k], row, row);
                    if (i - first < width) row[i - first] += 1;
                    TensorPrimitives.Multiply(row, 1 / Lower[i * n + i], row);
                    for (int j = 0; j < width && first + j <= i; j++)
                        Upper[(n - 1 - i) * n + n - 1 - first - j] = (float)row[j];
                }
            }
        }
    }
}
