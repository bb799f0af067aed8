using Nibble.Core.Formats;

namespace Nibble.Tests.Formats;

/// <summary>A small matrix in memory; by default one row.</summary>
internal sealed class TestMatrix(float[] matrix, int rows = 1) : IWeightSource
{
    int IWeightSource.Rows => rows;
    private readonly float[] _matrix = matrix;
    public int Columns => _matrix.Length / rows;

    public void ReadRow(int row, Span<float> weights) => _matrix.AsSpan(row * Columns, Columns).CopyTo(weights);

    /// <summary>The format bound to these rows, with its table.</summary>
    public static Format Learned(string name, float[] weights, int rows = 1) =>
        Format.Parse(name).ForColumns(weights.Length / rows).Learn(new TestMatrix(weights, rows), new LearnOptions());

    public static byte[] Encode(Format format, float[] row, DynamicRange? range = null)
    {
        var bytes = new byte[format.RowBytes(row.Length)];
        format.Encode(row, new FitOptions { Range = range }, bytes);
        return bytes;
    }

    public static float[] Decode(Format format, byte[] bytes, int columns)
    {
        var weights = new float[columns];
        format.Decode(bytes, weights);
        return weights;
    }

    public static float[] RoundTrip(Format format, float[] row, DynamicRange? range = null) =>
        Decode(format, Encode(format, row, range), row.Length);
}
