using System.Numerics.Tensors;
using Nibble.Core.Formats;

namespace Nibble.Quantization.Calibration;

/// <summary>Relative squared errors, on some rows of a matrix taken evenly from it.</summary>
internal static class FormatError
{
    /// <summary>What nearest rounding to a format loses.</summary>
    public static double Of(IWeightSource source, Format format, int rows)
    {
        var bytes = new byte[format.RowBytes(source.Columns)];
        var ones = new float[source.Columns];
        Array.Fill(ones, 1f);
        return Sample(source, rows, (_, original, decoded) =>
        {
            format.Encode(original, new FitOptions { Importance = ones }, bytes);
            format.Decode(bytes, decoded);
        });
    }

    /// <summary>What a matrix lost that was rounded already.</summary>
    public static double Between(IWeightSource source, IWeightSource rounded, int rows) =>
        Sample(source, rows, (row, _, decoded) => rounded.ReadRow(row, decoded));

    private static double Sample(IWeightSource source, int rows, Action<int, float[], float[]> decode)
    {
        var original = new float[source.Columns];
        var decoded = new float[source.Columns];
        double error = 0, power = 0;
        int count = Math.Min(rows, source.Rows);
        for (int i = 0; i < count; i++)
        {
            int row = (int)((long)i * source.Rows / count);
            source.ReadRow(row, original);
            decode(row, original, decoded);
            double distance = TensorPrimitives.Distance<float>(original, decoded);
            error += distance * distance;
            power += TensorPrimitives.SumOfSquares<float>(original);
        }
        return power == 0 ? 0 : error / power;
    }
}
