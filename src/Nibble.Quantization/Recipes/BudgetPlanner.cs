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

    /// <summary>Of tensors that are not measured: the recipe that a plan starts from, under the name of the budget.</summary>
    /// <param name="name">Of the budget: <c>3.5bits</c>.</param>
    /// <param name="forFolder">Whether formats of our own will do.</param>
    public static Recipe Draft(string name, bool forFolder) => Recipe.Parse(forFolder ? "Trellis4-h" : "IQ4_XS") with { Name = name, FileType = null };

    /// <summary>What <see cref="Plan"/> will have counted at the end.</summary>
    public static int StepsOf(QuantizationPlan draft) => 2 * draft.Tensors.Count;

    /// <summary>Bytes that the tensors take at least, in whatever formats: no smaller budget can be kept.</summary>
    /// <param name="draft">The plan of <see cref="Draft"/> for the source.</param>
    public long LeastBytes(QuantizationPlan draft) => source.Tensors.Zip(draft.Tensors, (tensor, planned) =>
        FormatsFor(tensor, planned, draft.Options).Select(f => BytesOf(tensor, f)).Append(planned.Bytes).Min()).Sum();

    /// <summary>A plan whose tensors take no more than <paramref name="bytes"/>.</summary>
    /// <param name="draft">The plan of <see cref="Draft"/> for the source.</param>
    /// <param name="bytes">Of all tensors' data.</param>
    /// <param name="text">The calibration text; a few chunks of it are predicted again and again.</param>
    /// <param name="prices">What was measured on this text before, to be taken from there and added to; or null.</param>
    /// <param name="progress">Told the steps that are done.</param>
    /// <exception cref="UnusableInputException">The budget is too small for any choice.</exception>
    public QuantizationPlan Plan(QuantizationPlan draft, long bytes, string text, int chunks, PriceFile? prices, Action<int> progress, CancellationToken cancellation)
    {
        using Sensitivity sensitivity = source.MeasureSensitivity(text, chunks, pool);
        int done = 0;
        Candidate[] candidates = [.. source.Tensors.Zip(draft.Tensors, (tensor, planned) =>
        {
            cancellation.ThrowIfCancellationRequested();
            Candidate candidate = Measure(tensor, planned, sensitivity, prices, draft.Options);
            progress(++done);
            return candidate;
        })];
        StorageChoice[] chosen = Budget.Spend([.. candidates.Select(c => c.Choices)], bytes);
        chosen = Repair(candidates, chosen, bytes, sensitivity, () => progress(++done), cancellation);
        return draft with { Tensors = [.. draft.Tensors.Zip(chosen, (tensor, choice) => tensor with { Format = choice.Format, Wanted = null })] };
    }

    private string[] Tried(int columns) =>
        source.IsForFolder ? columns % 64 == 0 ? OwnLarge : OwnSmall : columns % 256 == 0 ? Large : Small;

    /// <summary>A tensor and the ways to store it.</summary>
    /// <param name="Modules">What reads it, as <see cref="Sensitivity"/> knows it; empty if it stays as planned.</param>
    /// <param name="Choices">At least one.</param>
    /// <param name="Left">The share of nearest rounding's error that is left once it is made.</param>
    private sealed record Candidate(HashSet<string> Modules, StorageChoice[] Choices, double Left);

    private Candidate Measure(SourceTensor tensor, PlannedTensor planned, Sensitivity sensitivity, PriceFile? prices, PlanOptions options)
    {
        var asPlanned = new Candidate([], [new StorageChoice(planned.Format, planned.Bytes, 0)], 1);
        Format[] tried = FormatsFor(tensor, planned, options);
        if (tried.Length == 0) return asPlanned;
        bool isHead = source.IsHead(tensor);
        HashSet<string> modules = [.. tensor.Matrices.Select(m => m.Module)];
        if (isHead) modules.Add("output");
        Format middle = tried[tried.Length / 2];
        (double Divergence, double RelativeError)? MeasureNow() => sensitivity.Measure(modules, middle);
        // What nothing reads has no price; it stays as planned.
        if ((prices is null ? MeasureNow() : prices.Find(tensor.Info.Name, middle, MeasureNow)) is not { RelativeError: > 0 } measured) return asPlanned;
        double left = isHead || tensor.Info.Name == "token_embd.weight" ? 1 : LeftByCalibration;
        double price = measured.Divergence / measured.RelativeError * left;
        var errors = new ErrorsJob { Tensor = tensor, Tried = tried, Errors = new double[tried.Length] };
        pool.Run(ref errors);
        return new Candidate(modules, [.. tried.Zip(errors.Errors, (f, error) => new StorageChoice(f, BytesOf(tensor, f), price * error))], left);
    }

    /// <summary>The formats that are tried for a tensor; none for one that stays as planned.</summary>
    private Format[] FormatsFor(SourceTensor tensor, PlannedTensor planned, PlanOptions options)
    {
        bool isSettled = planned.Format.Family == FormatFamily.Float || options.Overrides.Any(o => o.Matches(tensor.Info.Name))
            || (options.HeadFormat is not null && source.IsHead(tensor));
        return isSettled ? [] : [.. Tried(tensor.Columns).Select(Format.Parse).Where(f => f.Divides(tensor.Columns)).Select(f => f.ForColumns(tensor.Columns))];
    }

    private static long BytesOf(SourceTensor tensor, Format format) => format.RowBytes(tensor.Columns) * tensor.Rows;

    /// <summary>What each format loses of a tensor.</summary>
    private struct ErrorsJob : IParallelJob
    {
        public SourceTensor Tensor;
        public Format[] Tried;
        public double[] Errors;
        private int _taken;

        public void Run(int worker, int workers)
        {
            for (int i; (i = Interlocked.Increment(ref _taken) - 1) < Tried.Length;)
                Errors[i] = FormatError.Of(Tensor, Tried[i], TriedRows);
        }
    }

    /// <summary>
    /// Prices were measured one tensor at a time. With all rounded as chosen, each is measured once more: what its next larger
    /// format saves, beside what it was expected to. The budget is spent again by the prices so corrected, and whichever of the two mixes
    /// diverges less is taken.
    /// </summary>
    private static StorageChoice[] Repair(
        Candidate[] candidates, StorageChoice[] chosen, long bytes, Sensitivity sensitivity, Action step, CancellationToken cancellation)
    {
        Round(chosen);
        double divergence = sensitivity.Divergence();
        var corrected = new StorageChoice[candidates.Length][];
        for (int i = 0; i < candidates.Length; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            Candidate candidate = candidates[i];
            corrected[i] = candidate.Choices;
            StorageChoice? larger = candidate.Choices.Where(c => c.Bytes > chosen[i].Bytes && c.Divergence < chosen[i].Divergence).MinBy(c => c.Bytes);
            step();
            if (candidate.Modules.Count == 0 || larger is null) continue;
            sensitivity.PassBefore(candidate.Modules);
            sensitivity.Round(candidate.Modules, larger.Format);
            double saved = (divergence - sensitivity.Divergence()) * candidate.Left, expected = chosen[i].Divergence - larger.Divergence;
            sensitivity.Round(candidate.Modules, chosen[i].Format);
            double factor = Math.Clamp(saved / expected, 1 / LargestCorrection, LargestCorrection);
            corrected[i] = [.. candidate.Choices.Select(c => c with { Divergence = c.Divergence * factor })];
        }
        StorageChoice[] again = Budget.Spend(corrected, bytes);
        Round(again);
        return sensitivity.Divergence() < divergence ? again : chosen;

        void Round(StorageChoice[] all)
        {
            foreach ((Candidate candidate, StorageChoice choice) in candidates.Zip(all))
                if (candidate.Modules.Count > 0) sensitivity.Round(candidate.Modules, choice.Format);
        }
    }

    /// <summary>The saving of one step is a small difference, so a price is trusted to be right within this factor.</summary>
    private const double LargestCorrection = 3;
}
