using System.Diagnostics;
using Nibble.Files.Safetensors;
using Nibble.Quantization;
using Nibble.Quantization.Recipes;

namespace Nibble.Cli.Commands;

/// <summary>What <c>nibble quantize</c> prints, as JSON and for people.</summary>
internal sealed record QuantizeResult(
    string Output, string Recipe, long Bytes, double BitsPerWeight, double Seconds, long PeakMemoryBytes, int FallbackCount, bool DryRun,
    IReadOnlyList<string> Warnings, IReadOnlyList<QuantizedRow> Tensors, BeforeAndAfter? Evaluation, double? ExpectedSeconds = null, long? ExpectedPeakMemoryBytes = null,
    StatisticsUse? Statistics = null, string? Rotation = null)
{
    public static QuantizeResult Of(
        QuantizationPlan plan, IReadOnlyList<QuantizedTensor> tensors, string output, IReadOnlyList<string> warnings, double seconds)
    {
        using Process process = Process.GetCurrentProcess();
        return OfPlan(plan, output, BytesOf(output), warnings) with
        {
            Seconds = seconds,
            PeakMemoryBytes = process.PeakWorkingSet64,
            DryRun = false,
            Tensors = [.. tensors.Select(t => QuantizedRow.Of(t.Plan) with
            {
                Method = t.Method,
                RelativeMse = t.Error.RelativeMse,
                SqnrDb = double.IsFinite(t.Error.SqnrDecibel) ? t.Error.SqnrDecibel : null,
                MaxError = t.Error.MaxError,
                ClippedShare = t.Error.Codes?.ClippedShare ?? 0,
                CodesUsed = t.Error.Codes?.CodesUsed,
                CodeEntropy = t.Error.Codes?.CodeEntropy,
            })],
        };
    }

    /// <summary>The same with what a run will take; what has passed until now it will take again, as for a budget, whose plan is measured.</summary>
    public QuantizeResult Expecting(Forecast? forecast, double passed)
    {
        using Process process = Process.GetCurrentProcess();
        return this with { ExpectedSeconds = forecast?.Seconds + passed, ExpectedPeakMemoryBytes = forecast is null ? null : Math.Max(forecast.PeakMemoryBytes, process.PeakWorkingSet64) };
    }

    /// <summary>The length of the file of weights.</summary>
    private static long BytesOf(string output) =>
        new FileInfo(Directory.Exists(output) ? Path.Combine(output, SafetensorsFolder.SingleFile) : output).Length;

    public static QuantizeResult OfPlan(QuantizationPlan plan, string output, long bytes, IReadOnlyList<string> warnings) => new(
        output, plan.Recipe.Name, bytes, 8.0 * plan.Bytes / plan.Tensors.Sum(t => t.Tensor.Elements), 0, 0, plan.FellBack.Count(), true, warnings,
        [.. plan.Tensors.Select(QuantizedRow.Of)], null);
}

/// <summary>One tensor of it.</summary>
internal sealed record QuantizedRow(
    string Name, IReadOnlyList<long> Shape, string Format, string? WantedFormat, long Bytes, string Method, double RelativeMse, double? SqnrDb,
    double MaxError = 0, double ClippedShare = 0, double? CodesUsed = null, double? CodeEntropy = null)
{
    public static QuantizedRow Of(PlannedTensor t) => new(t.Tensor.Name, t.Tensor.Shape, t.Format.Name, t.Wanted?.Name, t.Bytes, "nearest", 0, null);
}
