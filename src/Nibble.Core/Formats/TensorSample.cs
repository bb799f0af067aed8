namespace Nibble.Core.Formats;

/// <summary>The weights that parameters of a whole tensor are chosen from.</summary>
internal static class TensorSample
{
    /// <summary>Weights at most (64 MiB), but for the extremes of each row, which are always there.</summary>
    private const int Most = 16 << 20;

    /// <summary>
    /// All weights of a tensor and their importance; of a very large one an even choice of rows, and every other row's
    /// least and greatest weight, so that the range of the sample is the range of the tensor.
    /// </summary>
    public static (float[] Weights, float[] Importance) Of(IWeightSource source, ReadOnlySpan<float> columnImportance)
    {
        long all = (long)source.Rows * source.Columns;
        int step = (int)Math.Max(1, (all + Most - 1) / Most);
        var weights = new List<float>((int)(all / step) + 2 * source.Rows);
        var importance = new List<float>();
        var row = new float[source.Columns];
        for (int r = 0; r < source.Rows; r++)
        {
            source.ReadRow(r, row);
            if (r % step == 0)
            {
                weights.AddRange(row);
                importance.AddRange(columnImportance);
                continue;
            }
            foreach (int extreme in (ReadOnlySpan<int>)[Array.IndexOf(row, row.Min()), Array.IndexOf(row, row.Max())])
            {
                weights.Add(row[extreme]);
                if (!columnImportance.IsEmpty) importance.Add(columnImportance[extreme]);
            }
        }
        return ([.. weights], [.. importance]);
    }
}
