using Nibble.Core.Formats;
using Nibble.Quantization.Methods;

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
        return Sum(source, rows, (_, original, decoded) =>
        {
            format.Encode(original, new FitOptions { Importance = ones }, bytes);
            format.Decode(bytes, decoded);
        }).Relative;
    }

    /// <summary>What a matrix lost that was rounded already.</summary>
    public static SquaredError Between(IWeightSource source, IWeightSource rounded, int rows) =>
        Sum(source, rows, (row, _, decoded) => rounded.ReadRow(row, decoded));

    private static SquaredError Sum(IWeightSource source, int rows, Action<int, float[], float[]> decode)
    {
        var original = new float[source.Columns];
        var decoded = new float[source.Columns];
        var sum = new SquaredError();
        int count = Math.Min(rows, source.Rows);
        for (int i = 0; i < count; i++)
        {
            int row = (int)((long)i * source.Rows / count);
            source.ReadRow(row, original);
            decode(row, original, decoded);
            sum += SquaredError.Of(original, decoded);
        }
        return sum;
    }
}
