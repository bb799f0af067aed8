using Nibble.Core.Formats;
using TorchSharp;
using static TorchSharp.torch;

namespace Nibble.Training;

/// <summary>A copy of a tensor's numbers, as rows.</summary>
internal sealed class FloatMatrix : IWeightSource
{
    private readonly float[] _values;

    /// <param name="matrix">[rows, columns], float32.</param>
    public FloatMatrix(Tensor matrix)
    {
        (Rows, Columns) = (checked((int)matrix.shape[0]), checked((int)matrix.shape[1]));
        _values = Floats(matrix);
    }

    public int Rows { get; }

    public int Columns { get; }

    public ReadOnlySpan<float> Row(int row) => _values.AsSpan(row * Columns, Columns);

    public void ReadRow(int row, Span<float> weights) => Row(row).CopyTo(weights);

    /// <summary>The numbers of a tensor of any shape.</summary>
    public static float[] Floats(Tensor values)
    {
        using Tensor whole = values.detach().contiguous();
        return whole.data<float>().ToArray();
    }
}
