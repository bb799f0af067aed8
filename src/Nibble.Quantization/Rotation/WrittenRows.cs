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
    private readonly Lazy<(RowPlace[] Places, int[][] Rows)> _order = new(() => Order(tensor, rotation.Columns));
    private volatile Made? _made;

    /// <summary>The numbers of a matrix, its columns one after the other.</summary>
    private sealed record Made(int Matrix, float[] Turned);

    /// <summary>Where each row lies, and of each matrix the rows in the order of its outputs.</summary>
    private static (RowPlace[], int[][]) Order(SourceTensor tensor, int outputs)
    {
        RowPlace[] places = tensor.Places();
        int[][] rows = [.. tensor.Matrices.Select(_ => new int[outputs])];
        for (int r = 0; r < places.Length; r++) rows[places[r].Matrix][places[r].Row] = r;
        return (places, rows);
    }

    public void ReadRow(int row, Span<float> weights)
    {
        (int matrix, int own) = _order.Value.Places[row];
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
        for (int r = 0; r < outputs; r++)
        {
            tensor.ReadRow(_order.Value.Rows[matrix][r], row);
            for (int c = 0; c < row.Length; c++) turned[c * outputs + r] = row[c];
        }
        for (int c = 0; c < tensor.Columns; c++) rotation.Rotate(turned.AsSpan(c * outputs, outputs));
        return turned;
    }
}
