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
    private readonly TokenPanels _panels = new();

    /// <param name="columns">Inputs of the layer.</param>
    public InputMoments(int columns)
    {
        Columns = columns;
        Stride = TokenPanels.Padded(columns);
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
        _panels.Load(x.Floats, x.Tokens, Columns, pool);
        TokenPanels.AddProducts(_panels, _panels, Sums, upperOnly: true, pool);
    }
}
