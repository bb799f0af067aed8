using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Files;
using Nibble.Quantization.Calibration;
using Nibble.Quantization.Methods;
using Nibble.Quantization.Recipes;

namespace Nibble.Quantization;

/// <summary>A tensor that a stopped run wrote whole: not made again, but read back.</summary>
internal static class ResumedTensor
{
    /// <summary>
    /// Measures what rounding did to it and, where the layers after it are calibrated on what it produces, hands it on.
    /// </summary>
    /// <param name="index">Its place among the writer's tensors.</param>
    public static RoundingError Take(SourceTensor tensor, PlannedTensor planned, int index, TensorWriter writer, LayerQuantizer? calibrated, CancellationToken cancellation)
    {
        Format format = planned.Format.ForColumns(tensor.Columns);
        Weight[] made = calibrated?.Handles(tensor.Matrices) == true ? Allocate(tensor, format) : [];
        FoldedScales? folded = calibrated?.FoldedInto(tensor.Matrices, cancellation);
        RowPlace[] places = made.Length > 0 || folded is not null ? tensor.Places() : [];
        var bytes = new byte[format.RowBytes(tensor.Columns)];
        float[] original = new float[tensor.Columns], decoded = new float[tensor.Columns];
        var sum = new RoundingSum(format, tensor.Rows, tensor.Columns);
        for (int r = 0; r < tensor.Rows; r++)
        {
            writer.ReadBack(index, (long)r * bytes.Length, bytes);
            format.Decode(bytes, decoded);
            tensor.ReadRow(r, original);
            folded?.Apply(tensor, places[r], original);
            sum.Add(r, original, bytes, decoded);
            if (made.Length > 0) bytes.CopyTo(made[places[r].Matrix].Row(places[r].Row));
        }
        tensor.Release(0, tensor.Rows);
        for (int i = 0; i < made.Length; i++) calibrated!.Restore(tensor.Matrices[i], made[i]);
        return sum.Result;
    }

    private static Weight[] Allocate(SourceTensor tensor, Format format) =>
        [.. tensor.Matrices.Select(m => Weight.Allocate(m.Module, format, tensor.Rows / tensor.Matrices.Count, tensor.Columns))];
}
