using System.Numerics.Tensors;

namespace Nibble.Quantization.Methods;

/// <summary>What rounding did to some weights, to be summed.</summary>
/// <param name="Error">The sum of squared errors.</param>
/// <param name="Power">The sum of the weights' squares.</param>
/// <param name="Largest">The largest error's magnitude.</param>
internal readonly record struct SquaredError(double Error, double Power, double Largest)
{
    /// <summary>0 where nothing was lost, even of zeros.</summary>
    public double Relative => Error == 0 ? 0 : Error / Power;

    /// <param name="original">Weights.</param>
    /// <param name="rounded">What they became; overwritten by the errors.</param>
    public static SquaredError Of(ReadOnlySpan<float> original, Span<float> rounded) => Of(original, rounded, TensorPrimitives.SumOfSquares(original));

    /// <param name="power">The sum of squares of the original, where it is known.</param>
    public static SquaredError Of(ReadOnlySpan<float> original, Span<float> rounded, double power)
    {
        TensorPrimitives.Subtract(original, rounded, rounded);
        return new SquaredError(TensorPrimitives.SumOfSquares<float>(rounded), power, Math.Abs(TensorPrimitives.MaxMagnitude<float>(rounded)));
    }

    public static SquaredError operator +(SquaredError a, SquaredError b) => new(a.Error + b.Error, a.Power + b.Power, Math.Max(a.Largest, b.Largest));
}
