using System.Numerics.Tensors;
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
    public static RoundingError Take(SourceTensor tensor, PlannedTensor planned, int index, TensorWriter writer, LayerQuantizer? calibrated)
    {
        Format format = planned.Format.ForColumns(tensor.Columns);
        Weight[] made = calibrated?.Handles(tensor.ModelName) == true ? Allocate(tensor, format) : [];
        var bytes = new byte[format.RowBytes(tensor.Columns)];
        float[] original = new float[tensor.Columns], decoded = new float[tensor.Columns];
        double error = 0, power = 0;
        for (int r = 0; r < tensor.Rows; r++)
        {
            writer.ReadBack(index, (long)r * bytes.Length, bytes);
            format.Decode(bytes, decoded);
            tensor.ReadRow(r, original);
            double distance = TensorPrimitives.Distance<float>(original, decoded);
            error += distance * distance;
            power += TensorPrimitives.SumOfSquares<float>(original);
            (int expert, int row) = tensor.Place(r);
            if (made.Length > 0) bytes.CopyTo(made[expert].Row(row));
        }
        tensor.Release(0, tensor.Rows);
        if (made.Length > 0) calibrated!.Restore(tensor.ModelName, made);
        return new RoundingError(error == 0 ? 0 : error / power);
    }

    private static Weight[] Allocate(SourceTensor tensor, Format format) =>
        [.. Enumerable.Range(0, tensor.Experts).Select(_ => Weight.Allocate(tensor.ModelName, format, tensor.Rows / tensor.Experts, tensor.Columns))];
}
