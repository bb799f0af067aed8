using System.Globalization;
using Nibble.Core;
using Nibble.Models;

namespace Nibble.Quantization.Reports;

/// <summary>A point of the loss curve of a training run.</summary>
/// <param name="Step">Updates done.</param>
/// <param name="Seconds">Of training.</param>
/// <param name="Loss">The mean since the point before; of no meaning at step 0.</param>
/// <param name="HeldOut">On the held-out text.</param>
public sealed record LossPoint(long Step, double Seconds, double Loss, double HeldOut);

/// <summary>A loss curve as a trained model's file keeps it: points "step:seconds:loss:held out", spaces between.</summary>
public static class LossCurve
{
    /// <summary>Of a GGUF file's metadata, or of a safetensors file's.</summary>
    public const string Key = "nibble.training_curve";

    public static string Write(IEnumerable<LossPoint> points) =>
        string.Join(' ', points.Select(p => string.Create(CultureInfo.InvariantCulture, $"{p.Step}:{p.Seconds:R}:{p.Loss:R}:{p.HeldOut:R}")));

    /// <param name="place">Where the text is from, for an error.</param>
    /// <exception cref="UnusableInputException">It is no curve.</exception>
    public static IReadOnlyList<LossPoint> Read(string text, string place)
    {
        var points = new List<LossPoint>();
        foreach (string point in text.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            double[] numbers = [.. point.Split(':').Select(n => double.TryParse(n, CultureInfo.InvariantCulture, out double number) ? number : double.NaN)];
            if (numbers.Length != 4 || numbers.Any(n => !double.IsFinite(n)))
                throw new UnusableInputException($"{place}: {Key} is no loss curve at '{(point.Length > 40 ? point[..40] : point)}'; train the model again");
            points.Add(new LossPoint((long)numbers[0], numbers[1], numbers[2], numbers[3]));
        }
        return points;
    }

    /// <summary>The curve that a model was trained along; empty for one that was not trained here.</summary>
    /// <exception cref="UnusableInputException">What the file has under the key is no curve.</exception>
    public static IReadOnlyList<LossPoint> Of(ModelSource model) => Read(model.Note(Key), model.Path);
}
