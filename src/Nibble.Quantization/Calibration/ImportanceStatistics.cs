using System.Numerics.Tensors;

namespace Nibble.Quantization.Calibration;

/// <summary>A few numbers that say what the importance of a matrix's columns is like, as llama-imatrix --show-statistics has them.</summary>
/// <param name="Mean">The mean square of all inputs.</param>
/// <param name="Largest">The mean square of the column where it is largest.</param>
/// <param name="Active">The share of columns whose mean square is above 0.00001.</param>
/// <param name="Entropy">Of the columns' shares of the sum, in bits.</param>
public readonly record struct ImportanceStatistics(double Mean, double Largest, double Active, double Entropy)
{
    private const float Inactive = 1e-5f;

    /// <summary>Experts that no token reached do not count.</summary>
    public static ImportanceStatistics Of(ColumnImportance importance)
    {
        int columns = importance.Sums.Length / importance.Parts;
        float[] squares = [.. importance.MeanSquares().Where((_, i) => importance.Counts[i / columns] > 0)];
        if (squares.Length == 0) return default;
        double sum = squares.Sum(s => (double)s), entropy = 0;
        foreach (float square in squares)
            if (square > 0)
                entropy -= square / sum * Math.Log2(square / sum);
        return new ImportanceStatistics(sum / squares.Length, squares.Max(), squares.Count(s => s > Inactive) / (double)squares.Length, entropy);
    }

    /// <summary>How alike two matrices' importance is, from 0 to 1; null where their shapes differ or one is zero.</summary>
    public static double? Cosine(ColumnImportance a, ColumnImportance b)
    {
        if (a.Sums.Length != b.Sums.Length) return null;
        double cosine = TensorPrimitives.CosineSimilarity<float>(a.Sums, b.Sums);
        return double.IsFinite(cosine) ? cosine : null;
    }
}
