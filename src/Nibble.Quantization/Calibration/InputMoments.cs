using System.Numerics.Tensors;
using Nibble.Core.Formats;
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
    private readonly NativeBuffer _sums;
    private readonly float[] _largest;
    private bool _isComplete;

    /// <param name="columns">Inputs of the layer.</param>
    public InputMoments(int columns)
    {
        Columns = columns;
        Stride = TokenPanels.Padded(columns);
        _largest = new float[columns];
        _sums = new NativeBuffer((nint)Stride * Stride * sizeof(float));
    }

    /// <summary>Moments that were taken earlier; their sums are to be put into <see cref="Upper"/>.</summary>
    internal InputMoments(int columns, long tokens, ReadOnlySpan<float> largest) : this(columns)
    {
        Tokens = tokens;
        largest.CopyTo(_largest);
    }

    public int Columns { get; }

    /// <summary>Tokens that were added.</summary>
    public long Tokens { get; private set; }

    /// <summary>What was last made of them for error feedback: layers that read the same input want the same.</summary>
    internal ErrorFeedback? Feedback { get; set; }

    /// <summary>Floats from a row of the sums to the next.</summary>
    internal int Stride { get; }

    private float* Sums => (float*)_sums.Pointer;

    /// <summary>The sum over tokens of x[row] x[column].</summary>
    public float this[int row, int column] => row <= column ? Sums[(nint)row * Stride + column] : Sums[(nint)column * Stride + row];

    /// <summary>The mean square of each column: the importance of its weights.</summary>
    public float[] Importance()
    {
        var importance = new float[Columns];
        for (int c = 0; c < Columns; c++) importance[c] = this[c, c] / Math.Max(1, Tokens);
        return importance;
    }

    /// <summary>The number of largest magnitude in each column, with its sign.</summary>
    public ReadOnlySpan<float> Largest => _largest;

    /// <summary>e H eᵀ for an error in some columns and none in the others.</summary>
    /// <param name="first">The column of the first error.</param>
    public double Quadratic(ReadOnlySpan<float> error, int first)
    {
        double sum = 0;
        for (int i = 0; i < error.Length; i++)
        {
            if (error[i] == 0) continue;
            float* row = Sums + (nint)(first + i) * Stride + first;
            double right = TensorPrimitives.Dot(new ReadOnlySpan<float>(row + i, error.Length - i), error[i..]);
            sum += error[i] * (2 * right - (double)row[i] * error[i]);
        }
        return sum;
    }

    /// <summary>The sums of x[row] with all columns. Valid after <see cref="Complete"/>.</summary>
    public ReadOnlySpan<float> Row(int row) => new(Sums + (nint)row * Stride, Columns);

    /// <summary>A row of the sums from the diagonal on.</summary>
    internal Span<float> Upper(int row) => new(Sums + (nint)row * Stride + row, Columns - row);

    /// <summary>Fills the triangle below the diagonal, so that whole rows can be read until more is added.</summary>
    public void Complete()
    {
        if (_isComplete) return;
        _isComplete = true;
        for (int i = 0; i < Columns; i++)
            for (int j = 0; j < i; j++) Sums[(nint)i * Stride + j] = Sums[(nint)j * Stride + i];
    }

    /// <summary>e H for some errors.</summary>
    /// <param name="errors">[rows, <see cref="Stride"/>], zero beyond the columns.</param>
    /// <param name="products">As large, overwritten.</param>
    internal void Multiply(Activation errors, Activation products, WorkerPool pool)
    {
        Complete();
        products.Resize(errors.Tokens, Stride);
        MatrixProduct.Multiply(new Weight("moments", FloatFormat.F32, Stride, Stride, (byte*)Sums, _sums), errors, products.Floats, pool);
    }

    /// <summary>What they are once each column of the input is multiplied by a factor.</summary>
    public void Scale(ReadOnlySpan<float> factors)
    {
        Changed();
        TensorPrimitives.Multiply(_largest, factors, _largest);
        for (int i = 0; i < Columns; i++)
        {
            var row = new Span<float>(Sums + (nint)i * Stride, Columns);
            TensorPrimitives.Multiply(row, factors, row);
            TensorPrimitives.Multiply(row, factors[i], row);
        }
    }

    /// <summary>The moments of the same inputs with their columns rotated: R^T H R.</summary>
    public InputMoments Rotated(ColumnRotation rotation)
    {
        var rotated = new InputMoments(Columns) { Tokens = Tokens };
        for (int r = 0; r < Columns; r++)
            for (int c = 0; c < Columns; c++) rotated.Sums[(nint)r * Stride + c] = this[r, c];
        SquareRotation.Rotate(rotated.Sums, Stride, rotation);
        return rotated;
    }

    private void Changed() => (Feedback, _isComplete) = (null, false);

    /// <summary>Adds the inputs of a batch of tokens.</summary>
    public void Add(Activation x, WorkerPool pool)
    {
        using var panels = new TokenPanels();
        panels.Load(x, pool);
        Add(x, panels, pool);
    }

    /// <param name="panels">The same inputs.</param>
    internal void Add(Activation x, TokenPanels panels, WorkerPool pool)
    {
        if (x.Columns != Columns) throw new ArgumentException($"The input has {x.Columns} columns, the moments {Columns}.", nameof(x));
        Changed();
        Tokens += x.Tokens;
        for (int t = 0; t < x.Tokens; t++) TensorPrimitives.MaxMagnitude(x.Row(t), _largest, _largest);
        TokenPanels.AddProducts(panels, panels, Sums, upperOnly: true, pool);
    }
}
