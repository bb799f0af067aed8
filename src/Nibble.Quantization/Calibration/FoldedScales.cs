using System.Numerics.Tensors;

namespace Nibble.Quantization.Calibration;

/// <summary>What was folded into the weights of a model, so that the tensors of its file can be folded alike.</summary>
public sealed class FoldedScales
{
    private readonly Dictionary<MatrixName, float[]> _columns = [], _rows = [];
    private readonly Dictionary<string, float[]> _norms = [];

    internal void ScaleColumns(MatrixName matrix, float[] factors) => _columns.Add(matrix, factors);

    internal void ScaleRows(MatrixName matrix, float[] factors) => _rows.Add(matrix, factors);

    internal void ScaleNorm(string module, float[] factors) => _norms.Add(module, factors);

    /// <summary>Whether a tensor is a norm that scales were folded into.</summary>
    public bool HoldNorm(SourceTensor tensor) => _norms.ContainsKey(NormOf(tensor));

    /// <summary>Folds a row of a tensor as the file holds it.</summary>
    /// <param name="place">Where the row lies in the decoder.</param>
    public void Apply(SourceTensor tensor, RowPlace place, Span<float> weights)
    {
        if (_norms.TryGetValue(NormOf(tensor), out float[]? norm))
        {
            TensorPrimitives.Add(weights, tensor.Offset, weights);
            TensorPrimitives.Multiply(weights, norm, weights);
            TensorPrimitives.Subtract(weights, tensor.Offset, weights);
            return;
        }
        MatrixName matrix = tensor.Matrices[place.Matrix];
        if (_columns.TryGetValue(matrix, out float[]? columns)) TensorPrimitives.Multiply(weights, columns, weights);
        if (_rows.TryGetValue(matrix, out float[]? rows)) TensorPrimitives.Multiply(weights, rows[place.Row], weights);
    }

    private static string NormOf(SourceTensor tensor)
    {
        string module = tensor.Matrices[0].Module;
        return module.EndsWith(".bias", StringComparison.Ordinal) ? module[..^".bias".Length] : module;
    }
}
