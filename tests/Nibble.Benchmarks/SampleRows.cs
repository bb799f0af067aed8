using Nibble.Core.Formats;
using Nibble.Core.Memory;

namespace Nibble.Benchmarks;

/// <summary>Rows of weights as models have them, to learn from and to encode.</summary>
internal sealed class SampleRows : IWeightSource
{
    private readonly float[] _weights;

    public SampleRows(Random random, int rows, int columns)
    {
        (Rows, Columns) = (rows, columns);
        _weights = new float[rows * columns];
        foreach (ref float w in _weights.AsSpan()) w = 0.04f * (random.NextSingle() + random.NextSingle() + random.NextSingle() - 1.5f);
    }

    /// <summary>A weight of a format; a few rows are encoded, the others repeat them.</summary>
    public static Weight Allocate(string stored, int rows, int columns)
    {
        const int encoded = 32;
        var sample = new SampleRows(new Random(1), encoded, columns);
        Format format = Format.Parse(stored).ForColumns(columns).Learn(sample, new LearnOptions());
        Weight weight = Weight.Allocate("w", format, rows, columns);
        for (int r = 0; r < rows; r++)
            if (r < encoded) format.Encode(sample[r], default, weight.Row(r));
            else weight.Row(r % encoded).CopyTo(weight.Row(r));
        return weight;
    }

    public int Rows { get; }
    public int Columns { get; }
    public Span<float> this[int row] => _weights.AsSpan(row * Columns, Columns);
    public void ReadRow(int row, Span<float> weights) => this[row].CopyTo(weights);
}
