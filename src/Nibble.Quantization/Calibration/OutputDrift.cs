using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Quantization.Calibration;

/// <summary>
/// How far the output of a linear layer has drifted from the original model's before anything in the layer is rounded, as far
/// as its input can tell: the sum over tokens of W (x̄ - x) xᵀ, where x̄ is the original's input and x the quantized model's.
/// </summary>
public sealed unsafe class OutputDrift
{
    private readonly int _columns, _stride;
    private readonly NativeBuffer _sums;
    private readonly Activation _outputs = new();
    private readonly TokenPanels _drift = new();

    /// <param name="rows">Outputs of the layer.</param>
    /// <param name="columns">Its inputs.</param>
    public OutputDrift(int rows, int columns)
    {
        (_columns, _stride) = (columns, TokenPanels.Padded(columns));
        _sums = new NativeBuffer((nint)TokenPanels.Padded(rows) * _stride * sizeof(float));
    }

    /// <summary>The sum over tokens of w (x̄ - x) x, for all columns of x and one row w of W.</summary>
    public Span<float> Row(int row) => new((float*)_sums.Pointer + (nint)row * _stride, _columns);

    /// <summary>Rotates the columns of the inputs.</summary>
    /// <param name="rows">Of the layer.</param>
    public void Rotate(ColumnRotation rotation, int rows)
    {
        for (int r = 0; r < rows; r++) rotation.Rotate(Row(r));
    }

    /// <summary>Cheaper than <see cref="InputDrift"/> where a layer has fewer outputs than inputs.</summary>
    /// <param name="weight">W.</param>
    /// <param name="drift">x̄ - x: [tokens, columns].</param>
    /// <param name="x">The same tokens' inputs in the quantized model.</param>
    internal void Add(Weight weight, Activation drift, TokenPanels x, WorkerPool pool)
    {
        _outputs.Resize(x.Tokens, weight.Rows);
        MatrixProduct.Multiply(weight, drift, _outputs.Floats, pool);
        _drift.Load(_outputs, pool);
        TokenPanels.AddProducts(_drift, x, (float*)_sums.Pointer, upperOnly: false, pool);
    }
}
