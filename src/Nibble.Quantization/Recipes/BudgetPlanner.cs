using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Threading;
using Nibble.Quantization.Calibration;

namespace Nibble.Quantization.Recipes;

/// <summary>
/// Plans a model for a number of bytes instead of by a recipe: each matrix gets the format that serves the whole best. What
/// a format costs is the matrix's price for error, measured on the logits, times the error that the format makes of it.
/// </summary>
public sealed class BudgetPlanner(QuantizationSource source, WorkerPool pool)
{
    /// <summary>Rows of a matrix that each format is tried on.</summary>
    private const int TriedRows = 32;

    /// <summary>
    /// A layer's error after GPTQ, as a share of nearest rounding's: about this on models/base, from 2 to 4 bits. The embedding
    /// and the head are rounded to nearest.
    /// </summary>
    private const double LeftByCalibration = 0.7;

    /// <summary>What is tried, in blocks of 256; rows that these do not divide get the formats in blocks of 32.</summary>
    private static readonly string[] Large = ["IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_XS", "Q4_K", "Q5_K", "Q6_K", "Q8_0"];
    private static readonly string[] Small = ["Q4_0", "IQ4_NL", "Q4_1", "Q5_0", "Q5_1", "Q8_0"];

    /// <summary>The same for a folder, which holds formats of our own: rows of whole rings, and others.</summary>
    private static readonly string[] OwnLarge = ["Trellis2-h", "Trellis3-h", "Trellis4-h", "Linear5-sym-g64-h", "Linear6-sym-g64-h", "Linear8-sym-g64-h"];
    private static readonly string[] OwnSmall = ["Linear2-g32", "Linear3-g32", "Linear4-g32", "Linear5-g32", "Linear6-g32", "Linear8-g32"];

    /// <summary>The recipe that a budget starts from, and that stands for it.</summary>
    /// <param name="name">Of the budget: <c>3.5bits</c>.</param>
    /// <param name="forFolder">Whether formats of our own will do.</param>
    public static Recipe Start(string name, bool forFolder) => Recipe.Parse(forFolder ? "Trellis4-h" : "IQ4_XS") with { Name = name, FileType = null };

    /// <summary>A plan whose tensors take no more than <paramref name="bytes"/>.</summary>
    /// <param name="name">Of the recipe that this makes: <c>3.5bits</c>.</param>
    /// <param name="bytes">Of all tensors' data.</param>
    /// <param name="text">The calibration text; a few chunks of it are predicted again and again.</param>
    /// <param name="progress">Told the tensors that are measured, and their number.</param>
    /// <exception cref="UnusableInputException">The budget is too small for any choice.</exception>
    public QuantizationPlan Plan(
        string name, long bytes, PlanOptions options, string text, int chunks, Action<int, int> progress, CancellationToken cancellation)
    {
        QuantizationPlan plan = QuantizationPlan.Make(Start(name, source.IsForFolder), [.. source.Tensors.Select(t => t.Info)], source.Traits(hasImportance: true), options);
        StorageChoice[][] choices = Choices(plan, options, text, chunks, progress, cancellation);
        StorageChoice[] chosen = Budget.Spend(choices, bytes);
        return plan with { Tensors = [.. plan.Tensors.Zip(chosen, (tensor, choice) => tensor with { Format = choice.Format, Wanted = null })] };
    }

    private StorageChoice[][] Choices(
        QuantizationPlan plan, PlanOptions options, string text, int chunks, Action<int, int> progress, CancellationToken cancellation)
    {
        using Sensitivity sensitivity = source.MeasureSensitivity(text, chunks, pool);
        var choices = new StorageChoice[plan.Tensors.Count][];
        for (int i = 0; i < choices.Length; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            choices[i] = Choices(source.Tensors[i], plan.Tensors[i], sensitivity, options);
            progress(i + 1, choices.Length);
        }
        return choices;
    }

    private string[] Tried(int columns) =>
        source.IsForFolder ? columns % 64 == 0 ? OwnLarge : OwnSmall : columns % 256 == 0 ? Large : Small;

    private StorageChoice[] Choices(SourceTensor tensor, PlannedTensor planned, Sensitivity sensitivity, PlanOptions options)
    {
        StorageChoice[] asPlanned = [new StorageChoice(planned.Format, planned.Bytes, 0)];
        if (planned.Format.Family == FormatFamily.Float || options.Overrides.Any(o => o.Matches(tensor.Info.Name))) return asPlanned;
        bool isHead = source.IsHead(tensor);
        if (isHead && options.HeadFormat is not null) return asPlanned;
        Format[] tried = [.. Tried(tensor.Columns).Select(Format.Parse).Where(f => f.Divides(tensor.Columns)).Select(f => f.ForColumns(tensor.Columns))];
        if (tried.Length == 0) return asPlanned;
        HashSet<string> modules = isHead ? ["output"] : [.. tensor.Matrices.Select(m => m.Module)];
        Format trial = tried[tried.Length / 2];
        // A matrix that no product reads, an embedding apart from the head, has no price; it stays as planned.
        if (sensitivity.Measure(l => modules.Contains(MatrixName.OfLinear(l).Module), trial) is not { RelativeError: > 0 } measured) return asPlanned;
        double price = measured.Divergence / measured.RelativeError * (isHead ? 1 : LeftByCalibration);
        return [.. tried.Select(f => new StorageChoice(f, f.RowBytes(tensor.Columns) * tensor.Rows, price * FormatError.Of(tensor, f, TriedRows)))];
    }
}
