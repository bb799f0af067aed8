using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using static System.FormattableString;

namespace Nibble.Quantization.Calibration;

/// <summary>
/// What GPTQ and its kin need of the moments H, taken in the order the columns are quantized: the upper triangular U with
/// H⁻¹ = Uᵀ U. After column i was rounded with error e, the columns after it are best corrected by -(e / U[i, i]) U[i, j],
/// and the error that remains costs (e / U[i, i])² (Frantar et al., arXiv:2210.17323).
/// </summary>
public sealed unsafe class ErrorFeedback
{
    /// <summary>U, and its transpose once that is asked for.</summary>
    private readonly Weight _upper;
    private Weight? _lower;

    private readonly double _asked;

    private ErrorFeedback(int[] order, Weight upper, double asked, double damping)
    {
        (Order, _upper, _asked) = (order, upper, asked);
        Damping = damping;
    }

    /// <summary>The columns in the order they are quantized.</summary>
    public int[] Order { get; }

    /// <summary>The share of the mean diagonal that was added to it; more than was asked for if less did not do.</summary>
    public double Damping { get; }

    public int Columns => Order.Length;

    /// <summary>Row i of U from column i on.</summary>
    public ReadOnlySpan<float> Row(int i) => Row(i, i, Columns);

    /// <summary>Row i of U between two columns.</summary>
    public ReadOnlySpan<float> Row(int i, int from, int to) => new((float*)_upper.Data + (nint)i * Columns + from, to - from);

    public float Diagonal(int i) => Row(i)[0];

    /// <param name="moments">Of the layer's input.</param>
    /// <param name="order">Each column once, in the order of quantizing.</param>
    /// <param name="damping">Share of the mean diagonal added to it; raised tenfold while the matrix is not positive definite.</param>
    /// <param name="pool">The workers that share the factorization.</param>
    /// <exception cref="UnusableInputException">The moments are zero or not finite, or no damping up to the mean diagonal helps.</exception>
    public static ErrorFeedback Of(InputMoments moments, int[] order, double damping, WorkerPool pool)
    {
        if (moments.Feedback is { } known && known._asked == damping && known.Order.AsSpan().SequenceEqual(order)) return known;
        int n = order.Length;
        double mean = 0;
        for (int i = 0; i < n; i++) mean += moments[i, i] / (double)n;
        if (!(mean > 0) || !double.IsFinite(mean))
            throw new UnusableInputException(Invariant($"the calibration inputs have a mean square of {mean}; the text or the model is unusable"));
        using var memory = new NativeBuffer((nint)n * n * sizeof(double));
        var lower = new Triangle((double*)memory.Pointer, n);
        for (double share = damping; share <= 1; share *= 10)
            if (Factor(moments, order, share * mean, lower, pool))
                return moments.Feedback = new ErrorFeedback(order, InvertReversed(lower, n, pool), damping, share);
        throw new UnusableInputException("the moments of the calibration inputs are not positive definite, whatever the damping");
    }

    /// <summary>(H + damping)⁻¹ applied to some rows v: v Uᵀ U.</summary>
    /// <param name="rows">[rows, columns in the order of quantizing], changed in place.</param>
    public void Solve(Activation rows, WorkerPool pool)
    {
        using var half = new Activation();
        half.Resize(rows.Tokens, Columns);
        MatrixProduct.Multiply(_upper, rows, half.Floats, pool);
        MatrixProduct.Multiply(_lower ??= Transposed(), half, rows.Floats, pool);
        rows.Changed();
    }

    private Weight Transposed()
    {
        Weight lower = Weight.Allocate("feedback", FloatFormat.F32, Columns, Columns);
        for (int i = 0; i < Columns; i++)
            for (int j = i; j < Columns; j++) ((float*)lower.Data)[(nint)j * Columns + i] = Row(i)[j - i];
        return lower;
    }

    /// <summary>
    /// The Cholesky factor of H with its columns in reverse order, lower triangular; false if there is none. In the order itself the factor
    /// is upper triangular, and its inverse is U.
    /// </summary>
    private static bool Factor(InputMoments moments, int[] order, double added, Triangle lower, WorkerPool pool)
    {
        int n = order.Length;
        for (int first = 0; first < n; first += FactorRows)
        {
            int end = Math.Min(first + FactorRows, n);
            // What a band of rows owes to the rows before it is each row's own affair; the triangle that is left is small.
            var band = new BandJob { Moments = moments, Order = order, Lower = lower, First = first, End = end, Added = added };
            pool.Run(ref band);
            for (int i = first; i < end; i++)
                if (!FinishRow(lower, first, i)) return false;
        }
        return true;
    }

    /// <summary>Rows of a matrix up to the diagonal, in double precision: as large as two of its moments, and not held for long.</summary>
    private readonly struct Triangle(double* first, int n)
    {
        public Span<double> Row(int i) => new(first + (nint)i * n, i + 1);
    }

    private const int FactorRows = 64;

    /// <summary>Rows of a band that a worker takes together: what came before is then read once for all of them.</summary>
    private const int GroupRows = 8;

    private struct BandJob : IParallelJob
    {
        public InputMoments Moments;
        public int[] Order;
        public Triangle Lower;
        public int First, End;
        public double Added;
        private int _taken;

        public void Run(int worker, int workers)
        {
            int n = Order.Length;
            for (int from; (from = First + Interlocked.Add(ref _taken, GroupRows) - GroupRows) < End;)
            {
                int to = Math.Min(from + GroupRows, End);
                for (int i = from; i < to; i++) Load(Lower.Row(i), i, n);
                for (int j = 0; j < First; j++)
                {
                    ReadOnlySpan<double> before = Lower.Row(j);
                    for (int i = from; i < to; i++)
                    {
                        Span<double> row = Lower.Row(i);
                        row[j] = (row[j] - TensorPrimitives.Dot(row[..j], before[..j])) / before[j];
                    }
                }
            }
        }

        private readonly void Load(Span<double> row, int i, int n)
        {
            int column = Order[n - 1 - i];
            for (int j = 0; j <= i; j++) row[j] = Moments[column, Order[n - 1 - j]];
            row[i] += Added;
        }
    }

    /// <summary>The entries of a row within its band; false if the matrix is not positive definite.</summary>
    private static bool FinishRow(Triangle lower, int first, int i)
    {
        Span<double> row = lower.Row(i);
        for (int j = first; j < i; j++)
            row[j] = (row[j] - TensorPrimitives.Dot<double>(row[..j], lower.Row(j)[..j])) / lower.Row(j)[j];
        double rest = row[i] - TensorPrimitives.SumOfSquares<double>(row[..i]);
        row[i] = Math.Sqrt(rest);
        return rest > 0 && double.IsFinite(rest);
    }

    /// <summary>The inverse of a lower triangular matrix, both its orders reversed again, in single precision.</summary>
    private static Weight InvertReversed(Triangle lower, int n, WorkerPool pool)
    {
        Weight upper = Weight.Allocate("feedback", FloatFormat.F32, n, n);
        var job = new InvertJob { Lower = lower, Upper = (float*)upper.Data, N = n };
        pool.Run(ref job);
        return upper;
    }

    /// <summary>Columns of the inverse do not know of each other: workers take them in bands.</summary>
    private struct InvertJob : IParallelJob
    {
        /// <summary>Columns whose sums stay in eight registers.</summary>
        private const int Band = 32;

        public Triangle Lower;
        public float* Upper;
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
                    SubtractProducts(Lower.Row(i)[first..i], inverse.AsSpan(first * Band), row);
                    if (i - first < width) row[i - first] += 1;
                    TensorPrimitives.Multiply(row, 1 / Lower.Row(i)[i], row);
                    for (int j = 0; j < width && first + j <= i; j++)
                        Upper[(nint)(n - 1 - i) * n + n - 1 - first - j] = (float)row[j];
                }
            }
        }

        /// <summary>row = -Σ factors[k] rows[k].</summary>
        private static void SubtractProducts(ReadOnlySpan<double> factors, ReadOnlySpan<double> rows, Span<double> row)
        {
            Vector256<double> s0 = default, s1 = default, s2 = default, s3 = default, s4 = default, s5 = default, s6 = default, s7 = default;
            ref double from = ref MemoryMarshal.GetReference(rows);
            foreach (double factor in factors)
            {
                var f = Vector256.Create(-factor);
                s0 = Vector256.FusedMultiplyAdd(f, Vector256.LoadUnsafe(ref from), s0);
                s1 = Vector256.FusedMultiplyAdd(f, Vector256.LoadUnsafe(ref from, 4), s1);
                s2 = Vector256.FusedMultiplyAdd(f, Vector256.LoadUnsafe(ref from, 8), s2);
                s3 = Vector256.FusedMultiplyAdd(f, Vector256.LoadUnsafe(ref from, 12), s3);
                s4 = Vector256.FusedMultiplyAdd(f, Vector256.LoadUnsafe(ref from, 16), s4);
                s5 = Vector256.FusedMultiplyAdd(f, Vector256.LoadUnsafe(ref from, 20), s5);
                s6 = Vector256.FusedMultiplyAdd(f, Vector256.LoadUnsafe(ref from, 24), s6);
                s7 = Vector256.FusedMultiplyAdd(f, Vector256.LoadUnsafe(ref from, 28), s7);
                from = ref Unsafe.Add(ref from, Band);
            }
            s0.CopyTo(row);
            s1.CopyTo(row[4..]);
            s2.CopyTo(row[8..]);
            s3.CopyTo(row[12..]);
            s4.CopyTo(row[16..]);
            s5.CopyTo(row[20..]);
            s6.CopyTo(row[24..]);
            s7.CopyTo(row[28..]);
        }
    }
}
