using Nibble.Core.Formats;

namespace Nibble.Quantization.Ranges;

/// <summary>The interval of least squared error, every weight counting the same: a grid, then golden section.</summary>
public sealed class MeanSquareRange : DynamicRange
{
    public override string Name => "mse";

    public override (float Low, float High) Choose(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, IQuantizerLevels levels) =>
        levels.LeastSquares(weights, []);
}
