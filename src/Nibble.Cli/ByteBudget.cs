using System.Globalization;
using Nibble.Cli.Commands;
using Nibble.Core;
using Nibble.Core.Threading;
using Nibble.Quantization;
using Nibble.Quantization.Calibration;
using Nibble.Quantization.Recipes;

namespace Nibble.Cli;

/// <summary>A number of bytes to spend on a model, as <c>--bits</c> or <c>--size</c> says it.</summary>
internal sealed class ByteBudget
{
    /// <summary>Chunks of the calibration text whose predictions are compared.</summary>
    private const int ComparedChunks = 4;

    private readonly double? _bits;
    private readonly long _size;

    private ByteBudget(double? bits, long size, string name, bool forFolder) =>
        (_bits, _size, Recipe) = (bits, size, BudgetPlanner.Draft(name, forFolder));

    /// <summary>Named after the budget, for the file's name and its metadata.</summary>
    public Recipe Recipe { get; }

    /// <summary>The budget of the two options, or null if neither is given.</summary>
    /// <param name="forFolder">Whether it is spent on a folder, with formats of our own, or on a GGUF file.</param>
    /// <exception cref="UnusableInputException">Both are given, or one cannot be read, or there is no text to measure on.</exception>
    public static ByteBudget? Of(double? bits, string? size, string? text, bool forFolder)
    {
        if (bits is null && size is null) return null;
        string option = bits is null ? "--size" : "--bits";
        if (bits is not null && size is not null) throw new UnusableInputException("--bits and --size: give one of them");
        if (text is null) throw new UnusableInputException($"{option}: what each matrix costs is measured on a text; give --calibration TEXT");
        if (bits is not (null or (>= 1 and <= 16))) throw new UnusableInputException($"--bits {bits}: a weight takes 1 to 16 bits");
        return bits is { } b ? new ByteBudget(b, 0, string.Create(CultureInfo.InvariantCulture, $"{b}bits"), forFolder)
            : new ByteBudget(null, Quantity.ParseBytes("--size", size!), size!.Replace(" ", "", StringComparison.Ordinal), forFolder);
    }

    /// <summary>The plan that spends it.</summary>
    public QuantizationPlan Plan(
        QuantizationSource source, ModelQuantizer quantizer, PlanOptions planOptions, QuantizeOptions options, bool allowRequantize,
        string text, SavedStatistics? statistics, WorkerPool pool, Invocation run)
    {
        // Refuses what cannot be quantized before anything is measured, and says what the file takes beside its tensors.
        source.CheckPredicts();
        QuantizationPlan draft = quantizer.Plan(Recipe, planOptions, allowRequantize, hasImportance: true);
        long beside = quantizer.FileBytes(draft, options, source.Output) - draft.Bytes;
        long bytes = _bits is { } bits ? (long)(bits * draft.Tensors.Sum(t => t.Tensor.Elements) / 8) : _size - beside;
        var planner = new BudgetPlanner(source, pool);
        if (planner.LeastBytes(draft) is var least && least > bytes) throw TooLittle(least, beside, draft.Tensors.Sum(t => t.Tensor.Elements));
        PriceFile? prices = statistics?.Prices(source, ComparedChunks);
        return run.Terminal.Measure("measuring tensors", BudgetPlanner.StepsOf(draft), "tensors", meter =>
            planner.Plan(draft, bytes, text, ComparedChunks, prices, done => meter.Done = done, run.Cancellation));
    }

    /// <param name="least">Bytes of the tensors in the smallest formats that are tried.</param>
    /// <param name="beside">Bytes of the file beside its tensors.</param>
    /// <param name="weights">Of the whole model.</param>
    private UnusableInputException TooLittle(long least, long beside, long weights) => new(_bits is { } bits
        ? string.Create(CultureInfo.InvariantCulture, $"--bits {bits}: the smallest formats take {Math.Ceiling(800.0 * least / weights) / 100} bits a weight; allow as many")
        : $"--size {Recipe.Name}: the smallest formats make a file of {least + beside} bytes; allow as many");
}
