using System.Numerics.Tensors;
using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Quantization.Calibration;

/// <summary>
/// How far the input of a linear layer has drifted from what it is in the original model, as far as the drifted input can
/// tell: the sum over tokens of (x̄ - x) xᵀ, where x̄ is the original's input and x the quantized model's.
/// </summary>
public sealed unsafe class InputDrift
{
    private readonly NativeBuffer _sums;
    private readonly TokenPanels _drift = new(), _input = new();
    private readonly int _stride;

    /// <param name="columns">Inputs of the layer.</param>
    public InputDrift(int columns)
    {
        Columns = columns;
        _stride = TokenPanels.Padded(columns);
        _sums = new NativeBuffer((nint)_stride * _stride * sizeof(float));
    }

    public int Columns { get; }

    private float* Sums => (float*)_sums.Pointer;

    /// <summary>The sum over tokens of (x̄[row] - x[row]) x, for all columns of x.</summary>
    public ReadOnlySpan<float> Row(int row) => new(Sums + (nint)row * _stride, Columns);

    /// <summary>The drift of the same inputs with their columns rotated: R^T D R.</summary>
    public InputDrift Rotated(ColumnRotation rotation)
    {
        var rotated = new InputDrift(Columns);
        for (int r = 0; r < Columns; r++) Row(r).CopyTo(new Span<float>(rotated.Sums + (nint)r * _stride, Columns));
        SquareRotation.Rotate(rotated.Sums, _stride, rotation);
        return rotated;
    }

    /// <param name="original">[tokens, columns] of the original model; overwritten.</param>
    /// <param name="x">The same tokens' inputs in the quantized model.</param>
    public void Add(Span<float> original, Activation x, WorkerPool pool)
    {
        TensorPrimitives.Subtract(original, new ReadOnlySpan<float>(x.Floats, x.Tokens * Columns), original);
        fixed (float* drift = original) _drift.Load(drift, x.Tokens, Columns, pool);
        _input.Load(x.Floats, x.Tokens, Columns, pool);
        TokenPanels.AddProducts(_drift, _input, Sums, upperOnly: false, pool);
    }
}
