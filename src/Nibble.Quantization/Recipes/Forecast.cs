using System.Diagnostics;
using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Quantization.Calibration;
using Nibble.Quantization.Methods;

namespace Nibble.Quantization.Recipes;

/// <summary>What carrying out a plan will take.</summary>
/// <param name="Seconds">Counted operations over what this machine was just timed to do in a second; good to a factor of two.</param>
/// <param name="PeakMemoryBytes">The most memory that the process will hold, pages of mapped files included.</param>
public sealed record Forecast(double Seconds, long PeakMemoryBytes);

/// <summary>Forecasts of a plan, from the shapes of the model and a short timing of the machine.</summary>
/// <param name="held">Bytes that the process held before it planned: what planning took is used again.</param>
internal sealed class Forecaster(ModelConfig config, IReadOnlyList<SourceTensor> tensors, QuantizationPlan plan, QuantizeOptions options, long held, WorkerPool pool)
{
    /// <summary>What the runtime compiles and holds once it is at work, beside what it holds at the start.</summary>
    private const long Compiled = 8 << 20;

    /// <summary>How long one rate is looked for.</summary>
    private const double TimedSeconds = 0.15;

    /// <summary>Weights of a matrix that a format is timed on.</summary>
    private const int TimedWeights = 1 << 20;

    private (SourceTensor Tensor, PlannedTensor Planned)[] Quantized => [.. tensors.Zip(plan.Tensors).Where(t => t.Second.Format.Family != FormatFamily.Float)];

    /// <summary>Of nearest rounding.</summary>
    public Forecast Nearest() => new(SecondsOf(Quantized), NearestBytes);

    /// <summary>What the process holds anyway, the rows on their way to the file, and the pages of the source that they are read from.</summary>
    private long NearestBytes => held + Compiled + Methods.Nearest.HeldBytes(plan.Tensors.Max(t => t.Bytes)) + Methods.Nearest.HeldBytes(tensors.Max(t => t.StoredBytes));

    /// <summary>Of a calibrated method.</summary>
    /// <param name="texts">What it is calibrated on.</param>
    public Forecast Calibrated(CalibratedMethod method, IReadOnlyList<int[]> texts, CalibrationInputs inputs)
    {
        (SourceTensor Tensor, PlannedTensor Planned)[] inLayers = [.. Quantized.Where(t => TensorRoles.LayerOf(t.Tensor.Info.Name) >= 0)];
        CalibrationMemory.Matrix[][] layers = [.. inLayers.GroupBy(t => TensorRoles.LayerOf(t.Tensor.Info.Name)).Select(l => l.SelectMany(t => Matrices(t.Tensor, t.Planned.Format)).ToArray())];
        // Where the moments are at hand, no text is read.
        (long tokens, int length) = inputs == CalibrationInputs.Saved ? (0, 0) : (texts.Sum(t => (long)t.Length), texts.Max(t => t.Length));
        var memory = new CalibrationMemory(config, layers, tokens, length, method, inputs);
        double seconds = new CalibrationTime(layers, method, inputs, pool).Seconds(tokens, length, config.Heads * config.HeadSize);
        return new Forecast(SecondsOf(Quantized.Except(inLayers)) + seconds, NearestBytes + memory.Bytes);
    }

    private static IEnumerable<CalibrationMemory.Matrix> Matrices(SourceTensor tensor, Format format)
    {
        int count = tensor.Matrices.Count;
        return tensor.Matrices.Select(m => new CalibrationMemory.Matrix(
            tensor.Experts > 1 ? $"{m.Module}[{m.Expert}]" : m.Module, tensor.Rows / count, tensor.Columns, tensor.StoredBytes / count, format));
    }

    /// <summary>Rounding to nearest, each format timed on the largest matrix that gets it.</summary>
    private double SecondsOf(IEnumerable<(SourceTensor Tensor, PlannedTensor Planned)> chosen)
    {
        using var nearest = new Nearest(pool) { Solves = options.Hqq };
        return chosen.GroupBy(t => t.Planned.Format.Name).Sum(group =>
        {
            (SourceTensor tensor, PlannedTensor planned) = group.MaxBy(t => t.Tensor.StoredBytes);
            var sample = new FirstRows(tensor, Math.Clamp(TimedWeights / tensor.Columns, 1, tensor.Rows));
            Format format = planned.Format.ForColumns(tensor.Columns);
            double seconds = Time(() => nearest.Quantize(tensor.Info.Name, sample, format, options.Range, default, (_, _, _) => { }, default));
            return seconds * group.Sum(t => (double)t.Tensor.Rows * t.Tensor.Columns) / ((double)sample.Rows * sample.Columns);
        });
    }

    /// <summary>The shortest of some runs; the first are slow, because the runtime compiles what runs often once more.</summary>
    /// <param name="seconds">How long it is run again and again.</param>
    internal static double Time(Action work, double seconds = TimedSeconds)
    {
        double best = double.MaxValue;
        long first = Stopwatch.GetTimestamp();
        while (best == double.MaxValue || Stopwatch.GetElapsedTime(first).TotalSeconds < seconds)
        {
            long started = Stopwatch.GetTimestamp();
            work();
            best = Math.Min(best, Stopwatch.GetElapsedTime(started).TotalSeconds);
        }
        return best;
    }

    private sealed class FirstRows(IWeightSource source, int rows) : IWeightSource
    {
        public int Rows => rows;

        public int Columns => source.Columns;

        public void ReadRow(int row, Span<float> weights) => source.ReadRow(row, weights);
    }
}
