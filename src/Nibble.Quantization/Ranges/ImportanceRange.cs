using Nibble.Core;
using Nibble.Core.Formats;

namespace Nibble.Quantization.Ranges;

/// <summary>The interval of least squared error, each square times the importance of its weight; needs calibration.</summary>
public sealed class ImportanceRange : DynamicRange
{
    public override string Name => "importance";

    public override (float Low, float High) Choose(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, IQuantizerLevels levels) =>
        importance.IsEmpty
            ? throw new UnusableInputException("the range 'importance' needs the statistics of a calibration; give a calibration text or choose 'mse'")
            : levels.LeastSquares(weights, importance);
}
