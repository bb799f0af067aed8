using System.Numerics.Tensors;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Core.Kernels;

/// <summary>y = x Wᵀ, for a weight in any format.</summary>
public static unsafe class MatrixProduct
{
    /// <param name="weight">[rows, columns].</param>
    /// <param name="x">[tokens, columns].</param>
    /// <param name="y">[tokens, rows], overwritten.</param>
    /// <param name="pool">The workers that share the rows.</param>
    public static void Multiply(Weight weight, Activation x, float* y, WorkerPool pool)
    {
        var job = new Job { Weight = weight, X = x, Y = y };
        pool.Run(ref job);
    }

    private struct Job : IParallelJob
    {
        public Weight Weight;
        public Activation X;
        public float* Y;

        public readonly void Run(int worker, int workers)
        {
            (int from, int to) = ParallelRows.Share(Weight.Rows, worker, workers, 4);
            var row = new float[Weight.Columns];
            for (int r = from; r < to; r++)
            {
                Weight.ReadRow(r, row);
                for (int t = 0; t < X.Tokens; t++)
                    Y[(nint)t * Weight.Rows + r] = TensorPrimitives.Dot(row, X.Row(t));
            }
        }
    }
}
