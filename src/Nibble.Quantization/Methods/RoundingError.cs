using Nibble.Core.Formats;
using Nibble.Quantization.Evaluation;

namespace Nibble.Quantization.Methods;

/// <summary>What rounding did to a tensor.</summary>
/// <param name="RelativeMse">Sum of squared errors over sum of squares; 0 where nothing was lost.</param>
/// <param name="MaxError">The largest distance between a weight and what it became.</param>
/// <param name="Codes">How the codes were used, and how many weights were clipped: of every row, or of every n-th where the tensor is large.</param>
public readonly record struct RoundingError(double RelativeMse, double MaxError, TensorError? Codes)
{
    internal static RoundingError Of(SquaredError sum, TensorError? codes) => new(sum.Relative, sum.Largest, codes);

    /// <summary>Signal to quantization noise in decibels; infinite where nothing was lost.</summary>
    public double SqnrDecibel => -10 * Math.Log10(RelativeMse);
}

/// <summary>Sums what rounding did to a tensor, row after row.</summary>
/// <param name="format">Bound to the columns, with its table.</param>
internal sealed class RoundingSum(Format format, int rows, int columns)
{
    private readonly TensorError _codes = new(format);
    private readonly int _stride = TensorError.Stride(rows, columns);
    private SquaredError _sum;

    public RoundingError Result => RoundingError.Of(_sum, _codes);

    /// <param name="row">Its place in the tensor.</param>
    /// <param name="original">The row as it was.</param>
    /// <param name="stored">Its stored bytes.</param>
    /// <param name="decoded">What these mean; changed.</param>
    public void Add(int row, ReadOnlySpan<float> original, ReadOnlySpan<byte> stored, Span<float> decoded)
    {
        if (row % _stride == 0) _codes.Add(original, stored, decoded);
        _sum += SquaredError.Of(original, decoded);
    }
}
