using Nibble.Core.Formats;

namespace Nibble.Quantization.Rotation;

/// <summary>
/// The rows of matrices whose outputs are rotated: every row of Rᵀ W is made of all rows of W, so the matrix, of experts one
/// at a time, is held as float32.
/// </summary>
/// <param name="tensor">[outputs, inputs], of each expert.</param>
/// <param name="rotation">Of the outputs.</param>
internal sealed class WrittenRows(SourceTensor tensor, ColumnRotation rotation)
{
    private readonly Lock _making = new();
    private readonly Lazy<RowPlace[]> _places = new(tensor.Places);
    private volatile Made? _made;

    /// <summary>The numbers of a matrix, its columns one after the other.</summary>
    private sealed record Made(int Matrix, float[] Turned);

    public void ReadRow(int row, Span<float> weights)
    {
        (int matrix, int own) = _places.Value[row];
        float[] turned = Of(matrix);
        for (int c = 0; c < tensor.Columns; c++) weights[c] = turned[(nint)c * rotation.Columns + own];
    }

    private float[] Of(int matrix)
    {
        if (_made is { } made && made.Matrix == matrix) return made.Turned;
        lock (_making)
        {
            if (_made?.Matrix != matrix) _made = new Made(matrix, Make(matrix));
            return _made.Turned;
        }
    }

    private float[] Make(int matrix)
    {
        int outputs = rotation.Columns;
        var turned = new float[checked(outputs * tensor.Columns)];
        var row = new float[tensor.Columns];
        foreach ((RowPlace place, int r) in _places.Value.Select((p, r) => (p, r)).Where(p => p.p.Matrix == matrix))
        {
            tensor.ReadRow(r, row);
            for (int c = 0; c < row.Length; c++) turned[c * outputs + place.Row] = row[c];
        }
        for (int c = 0; c < tensor.Columns; c++) rotation.Rotate(turned.AsSpan(c * outputs, outputs));
        return turned;
    }
}
