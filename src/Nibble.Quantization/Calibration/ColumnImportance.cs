namespace Nibble.Quantization.Calibration;

/// <summary>What a matrix was seen to read: how large each input column is, in the mean.</summary>
/// <param name="Sums">[experts, columns]: the sum over tokens of the square of each input.</param>
/// <param name="Counts">The tokens of each expert; one number where all share it.</param>
public sealed record ColumnImportance(float[] Sums, float[] Counts)
{
    /// <summary>Experts, or shares of the columns that were counted together.</summary>
    public int Parts => Counts.Length;

    /// <summary>Parts that no token reached.</summary>
    public int Unreached => Counts.Count(c => c == 0);

    /// <summary>Tokens of the part that saw most.</summary>
    public float Tokens => Counts.Max();

    /// <summary>That of one expert alone.</summary>
    public ColumnImportance Of(int expert)
    {
        int columns = Sums.Length / Parts;
        return new ColumnImportance(Sums[(expert * columns)..((expert + 1) * columns)], [Counts[expert]]);
    }

    /// <summary>[experts, columns]: the mean square of each input. Where no token was seen, all columns are alike: 1.</summary>
    public float[] MeanSquares()
    {
        var means = new float[Sums.Length];
        int columns = Sums.Length / Parts;
        for (int part = 0; part < Parts; part++)
            for (int i = part * columns; i < (part + 1) * columns; i++)
                means[i] = Counts[part] > 0 ? Sums[i] / Counts[part] : 1;
        return means;
    }
}
