using System.Numerics.Tensors;
using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Quantization.Calibration;

/// <summary>
/// How far the input of a linear layer has drifted from what it is in the original model, as far as the drifted input can
/// tell: the sum over tokens of (x̄ - x) xᵀ, where x̄ is the original's input and x the quantized model's. All layers that
/// read the input share it.
/// </summary>
public sealed unsafe class InputDrift
{
    /// <summary>Rows of a weight that are taken through the drift at a time.</summary>
    private const int Rows = 512;

    /// <summary>[columns, columns of the drift], both padded: row i is the sum of x[i] (x̄ - x).</summary>
    private readonly Weight _sums;

    /// <param name="columns">Inputs of the layer.</param>
    public InputDrift(int columns)
    {
        Columns = columns;
        int stride = TokenPanels.Padded(columns);
        _sums = Weight.Allocate("drift", FloatFormat.F32, stride, stride);
    }

    public int Columns { get; }

    /// <param name="drift">x̄ - x: [tokens, columns].</param>
    /// <param name="x">The same tokens' inputs in the quantized model.</param>
    internal void Add(TokenPanels drift, TokenPanels x, WorkerPool pool) => TokenPanels.AddProducts(x, drift, (float*)_sums.Data, upperOnly: false, pool);

    /// <summary>What it makes of the output of a weight.</summary>
    /// <param name="weight">[rows, columns].</param>
    public OutputDrift Through(IWeightSource weight, WorkerPool pool)
    {
        var outputs = new OutputDrift(weight.Rows, Columns);
        using var rows = new Activation();
        using var made = new Activation();
        for (int first = 0; first < weight.Rows; first += Rows)
        {
            int count = Math.Min(Rows, weight.Rows - first);
            rows.Resize(count, _sums.Columns);
            made.Resize(count, _sums.Rows);
            for (int r = 0; r < count; r++)
            {
                rows.Row(r)[Columns..].Clear();
                weight.ReadRow(first + r, rows.Row(r)[..Columns]);
            }
            rows.Changed();
            MatrixProduct.Multiply(_sums, rows, made.Floats, pool);
            for (int r = 0; r < count; r++) made.Row(r)[..Columns].CopyTo(outputs.Row(first + r));
        }
        return outputs;
    }
}
