using System.Runtime.Intrinsics;
using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Quantization.Calibration;

/// <summary>
/// Second moments of the input of a linear layer: the sum over tokens of x xᵀ. An error E in the weight costs
/// tr(E H Eᵀ) in the layer's output, with H these moments; the diagonal alone is the importance of each column.
/// </summary>
public sealed unsafe class InputMoments
{
    // One step adds 4 rows by 16 columns of products, over all tokens of a batch.
    private const int StepRows = 4;
    private const int StepColumns = 16;

    private readonly NativeBuffer _sums;

    /// <param name="columns">Inputs of the layer.</param>
    public InputMoments(int columns)
    {
        Columns = columns;
        Stride = (columns + StepColumns - 1) / StepColumns * StepColumns;
        _sums = new NativeBuffer((nint)Stride * Stride * sizeof(float));
    }

    public int Columns { get; }

    /// <summary>Tokens that were added.</summary>
    public long Tokens { get; private set; }

    /// <summary>Floats from a row of the sums to the next.</summary>
    private int Stride { get; }

    private float* Sums => (float*)_sums.Pointer;

    /// <summary>Moments that tell nothing: all columns alike, none correlated.</summary>
    public static InputMoments Alike(int columns)
    {
        var moments = new InputMoments(columns) { Tokens = 1 };
        for (int c = 0; c < columns; c++) moments.Sums[(nint)c * moments.Stride + c] = 1;
        return moments;
    }

    /// <summary>The sum over tokens of x[row] x[column].</summary>
    public float this[int row, int column] => row <= column ? Sums[(nint)row * Stride + column] : Sums[(nint)column * Stride + row];

    /// <summary>The mean square of each column: the importance of its weights.</summary>
    public float[] Importance()
    {
        var importance = new float[Columns];
        for (int c = 0; c < Columns; c++) importance[c] = this[c, c] / Math.Max(1, Tokens);
        return importance;
    }

    /// <summary>Adds the inputs of a batch of tokens.</summary>
    public void Add(Activation x, WorkerPool pool)
    {
        if (x.Columns != Columns) throw new ArgumentException($"The input has {x.Columns} columns, the moments {Columns}.", nameof(x));
        Tokens += x.Tokens;
        var job = new Job { Moments = this, X = x };
        pool.Run(ref job);
    }

    private struct Job : IParallelJob
    {
        public InputMoments Moments;
        public Activation X;

        public readonly void Run(int worker, int workers)
        {
            // Upper triangle: later rows are shorter, so rows are dealt out in turn.
            for (int row = worker * StepRows; row < Moments.Columns; row += workers * StepRows)
                for (int column = row / StepColumns * StepColumns; column < Moments.Columns; column += StepColumns)
                    Moments.AddStep(X, row, column);
        }
    }

    private void AddStep(Activation x, int row, int column)
    {
        if (row + StepRows > Columns || column + StepColumns > Columns)
        {
            AddEdge(x, row, column);
            return;
        }
        float* sums = Sums + (nint)row * Stride + column;
        Vector256<float> a0 = Vector256.Load(sums), a1 = Vector256.Load(sums + 8);
        Vector256<float> b0 = Vector256.Load(sums + Stride), b1 = Vector256.Load(sums + Stride + 8);
        Vector256<float> c0 = Vector256.Load(sums + 2 * (nint)Stride), c1 = Vector256.Load(sums + 2 * (nint)Stride + 8);
        Vector256<float> d0 = Vector256.Load(sums + 3 * (nint)Stride), d1 = Vector256.Load(sums + 3 * (nint)Stride + 8);
        float* at = x.Floats;
        for (int t = 0; t < x.Tokens; t++, at += Columns)
        {
            Vector256<float> low = Vector256.Load(at + column), high = Vector256.Load(at + column + 8);
            Vector256<float> factor = Vector256.Create(at[row]);
            a0 = Vector256.FusedMultiplyAdd(factor, low, a0);
            a1 = Vector256.FusedMultiplyAdd(factor, high, a1);
            factor = Vector256.Create(at[row + 1]);
            b0 = Vector256.FusedMultiplyAdd(factor, low, b0);
            b1 = Vector256.FusedMultiplyAdd(factor, high, b1);
            factor = Vector256.Create(at[row + 2]);
            c0 = Vector256.FusedMultiplyAdd(factor, low, c0);
            c1 = Vector256.FusedMultiplyAdd(factor, high, c1);
            factor = Vector256.Create(at[row + 3]);
            d0 = Vector256.FusedMultiplyAdd(factor, low, d0);
            d1 = Vector256.FusedMultiplyAdd(factor, high, d1);
        }
        a0.Store(sums);
        a1.Store(sums + 8);
        b0.Store(sums + Stride);
        b1.Store(sums + Stride + 8);
        c0.Store(sums + 2 * (nint)Stride);
        c1.Store(sums + 2 * (nint)Stride + 8);
        d0.Store(sums + 3 * (nint)Stride);
        d1.Store(sums + 3 * (nint)Stride + 8);
    }

    private void AddEdge(Activation x, int row, int column)
    {
        for (int r = row; r < Math.Min(row + StepRows, Columns); r++)
            for (int c = column; c < Math.Min(column + StepColumns, Columns); c++)
            {
                float sum = 0;
                for (int t = 0; t < x.Tokens; t++) sum += x.Floats[(nint)t * Columns + r] * x.Floats[(nint)t * Columns + c];
                Sums[(nint)r * Stride + c] += sum;
            }
    }
}
