using System.Numerics.Tensors;
using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Quantization.Calibration;

namespace Nibble.Quantization.Methods;

/// <summary>
/// SmoothQuant (Xiao et al., arXiv:2211.10438): input columns with outliers are scaled down, and the weights that read them
/// up, so that inputs and weights are both easy to round to 8 bits. For models whose activations are rounded too
/// (<c>eval --activations int8</c>); at 4 bits the weights suffer. Rounding itself is to nearest.
/// </summary>
/// <param name="strength">How much of the difficulty goes from the inputs to the weights, 0 to 1.</param>
public sealed class SmoothQuant(double strength = SmoothQuant.DefaultStrength) : CalibratedMethod
{
    /// <summary>The paper's choice for most models.</summary>
    public const double DefaultStrength = 0.5;

    public override string Name => strength == DefaultStrength ? "smoothquant" : string.Create(System.Globalization.CultureInfo.InvariantCulture, $"smoothquant:{strength}");

    public override bool Folds => true;

    public override float[] ChooseScales(IReadOnlyList<(Weight Weight, Format Format)> readers, InputMoments moments, WorkerPool pool)
    {
        var weights = new float[moments.Columns];
        var row = new float[moments.Columns];
        foreach ((Weight weight, _) in readers)
            for (int r = 0; r < weight.Rows; r++)
            {
                weight.ReadRow(r, row);
                TensorPrimitives.MaxMagnitude(row, weights, weights);
            }
        return [.. moments.Largest.ToArray().Zip(weights, (x, w) => Scale(Math.Abs(x), Math.Abs(w)))];
    }

    /// <summary>A column that is never used, or that no weight reads, is left alone.</summary>
    private float Scale(float input, float weight) => input == 0 || weight == 0 ? 1
        : (float)Math.Clamp(Math.Pow(input, strength) / Math.Pow(weight, 1 - strength), 1e-5, 1e5);

    public override string? Quantize(Weight source, Weight target, InputMoments moments, OutputDrift? drift, WorkerPool pool) =>
        new ImportanceRounding().Quantize(source, target, moments, drift, pool);
}
