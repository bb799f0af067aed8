using System.Numerics.Tensors;
using Nibble.Core.Threading;

namespace Nibble.Core.Kernels;

/// <summary>What a normalization divides by.</summary>
public enum NormKind
{
    /// <summary>The root of the mean square (Zhang and Sennrich, arXiv:1910.07467).</summary>
    Rms,
    /// <summary>The mean is taken out first (Ba et al., arXiv:1607.06450).</summary>
    Layer,
}

/// <summary>RMS and layer normalization of rows.</summary>
public static unsafe class Norms
{
    /// <summary>Normalizes one row; <paramref name="y"/> may be <paramref name="x"/>.</summary>
    /// <param name="weight">As long as the row, or empty for ones.</param>
    /// <param name="bias">As long as the row, or empty for zeros.</param>
    public static void Row(NormKind kind, ReadOnlySpan<float> x, ReadOnlySpan<float> weight, ReadOnlySpan<float> bias, float epsilon, Span<float> y)
    {
        if (kind == NormKind.Layer)
        {
            TensorPrimitives.Subtract(x, TensorPrimitives.Sum(x) / x.Length, y);
            x = y;
        }
        float scale = 1 / MathF.Sqrt(TensorPrimitives.SumOfSquares(x) / x.Length + epsilon);
        TensorPrimitives.Multiply(x, scale, y);
        if (!weight.IsEmpty) TensorPrimitives.Multiply(y, weight, y);
        if (!bias.IsEmpty) TensorPrimitives.Add(y, bias, y);
    }

    /// <summary>Normalizes every row; <paramref name="y"/> may be <paramref name="x"/>.</summary>
    /// <param name="x">[rows, width].</param>
    /// <param name="y">[rows, width].</param>
    public static void Rows(NormKind kind, float* x, int rows, int width, float[] weight, float[] bias, float epsilon, float* y, WorkerPool pool)
    {
        var job = new Job { Kind = kind, X = x, Y = y, RowCount = rows, Width = width, Weight = weight, Bias = bias, Epsilon = epsilon };
        if (rows < 4) job.Run(0, 1);
        else pool.Run(ref job);
    }

    private struct Job : IParallelJob
    {
        public NormKind Kind;
        public float* X;
        public float* Y;
        public int RowCount;
        public int Width;
        public float[] Weight;
        public float[] Bias;
        public float Epsilon;

        public readonly void Run(int worker, int workers)
        {
            (int from, int to) = ParallelRows.Share(RowCount, worker, workers);
            for (int r = from; r < to; r++)
                Row(Kind, new(X + (nint)r * Width, Width), Weight, Bias, Epsilon, new(Y + (nint)r * Width, Width));
        }
    }
}
