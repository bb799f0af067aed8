using System.CommandLine;
using System.Diagnostics;
using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Threading;
using Nibble.Files;
using Nibble.Files.Packed;
using Nibble.Files.Safetensors;
using Nibble.Quantization;
using Nibble.Quantization.Methods;
using Nibble.Quantization.Calibration;
using Nibble.Quantization.Ranges;
using Nibble.Quantization.Recipes;

namespace Nibble.Cli.Commands;

/// <summary>Makes a model small.</summary>
internal sealed class QuantizeCommand : Verb
{
    private const string DefaultRecipe = "Q4_0", Nearest = "nearest";
    private const int CalibrationChunks = 64;

    private readonly Argument<string?> _model = ModelArgument();
    private readonly Option<string?> _output = new("--output", "-o") { Description = "The .gguf file, or the folder of safetensors, to write. [default: NAME-RECIPE in this folder, .gguf where GGUF has the format]", HelpName = "OUT" };
    private readonly Option<string> _to = new("--to") { Description = "A recipe (Q4_K_M, IQ3_XXS, ...) or a format of 'nibble formats' (Linear3-sym-g32, NF4, Vector8x256, ...).", HelpName = "RECIPE", DefaultValueFactory = _ => DefaultRecipe };
    private readonly Option<string?> _layout = new("--layout")
    {
        Description = $"Write the folder as other programs read it: {string.Join(", ", WrittenLayout.All.Select(l => l.Name))}. [default: our own]",
        HelpName = "LAYOUT",
    };
    private readonly Option<string?> _method = new("--method")
    {
        Description = $"How bits are chosen: {Nearest}, {Hqq.Word} (no data either), and with --calibration {string.Join(", ", CalibratedMethod.All.Select(m => m.Name))}. [default: nearest; gptq with --calibration]",
        HelpName = "M",
    };
    private readonly Option<string?> _calibration = new("--calibration") { Description = "A text like those the model will read; its inputs decide how errors count.", HelpName = "TEXT" };
    private readonly Option<string?> _importance = new("--importance") { Description = "What 'nibble importance' or llama-imatrix measured: errors in columns that matter count more.", HelpName = "FILE" };
    private readonly Option<int> _calibrationChunks = new("--calibration-chunks")
    {
        Description = "Calibrate on N chunks of 512 tokens, taken evenly from the text.",
        HelpName = "N",
        DefaultValueFactory = _ => CalibrationChunks,
    };
    private readonly Option<bool> _onePass = new("--one-pass") { Description = "Calibrate each layer on what it reads in the original model, not on what the quantized layers before it produce: faster, less good." };
    private readonly Option<string?> _statistics = new("--statistics") { Description = "Keep in DIR what is measured of the original model (a budget's prices, with --one-pass the moments of all inputs), and take it from there next time.", HelpName = "DIR" };
    private readonly Option<double?> _bits = new("--bits") { Description = "Instead of a recipe: at most B bits a weight, each matrix in the format that serves the whole best. Needs --calibration.", HelpName = "B" };
    private readonly Option<string?> _size = new("--size") { Description = "The same for a file of at most so many bytes: 20MB, 1.5GiB, or a plain number.", HelpName = "BYTES" };
    private readonly Option<string?> _range = new("--range")
    {
        Description = $"How dynamic ranges are chosen: {string.Join(", ", RangeRules.All.Select(r => r.Name))}. [default: each format's own way]",
        HelpName = "R",
    };
    private readonly Option<string[]> _override = new("--override") { Description = "Give tensors whose name fits a pattern another format; may be given more than once.", HelpName = "PATTERN=FORMAT" };
    private readonly Option<string?> _keepOutput = new("--keep-output") { Description = "The format of the output matrix (the embedding, where they are one). [default: Q6_K or the recipe's; in a folder Linear6]", HelpName = "FORMAT" };
    private readonly Option<bool> _pure = new("--pure") { Description = "Every matrix in the one format, without the recipe's exceptions." };
    private readonly Option<bool> _force = new("--force") { Description = "Replace an existing output." };
    private readonly Option<bool> _resume = new("--resume") { Description = "Go on where a stopped run of the same command left OUT.partial (a .gguf file), and leave it if this one is stopped." };
    private readonly Option<bool> _allowRequantize = new("--allow-requantize") { Description = "Quantize again what is quantized already; the result is worse than from the original." };
    private readonly Option<bool> _dryRun = new("--dry-run") { Description = "Show what would be written, and write nothing." };
    private readonly Option<bool> _evaluate = new("--evaluate") { Description = "Measure what it cost, on the bundled text. [default: only when no MODEL is named]" };
    private readonly Option<int?> _chunks = new("--chunks") { Description = "Measure on the first N chunks of the text only. [default: all]", HelpName = "N" };

    public QuantizeCommand() : base("quantize", "Make a model small: write it in formats of 1 to 8 bits.",
        "nibble quantize",
        "nibble quantize Llama-3.2-1B --to Q4_K_M -o llama-Q4_K_M.gguf",
        "nibble quantize model-F16.gguf --to IQ4_XS --override 'blk\\.\\d+\\.ffn_down=Q6_K' --evaluate",
        "nibble quantize model --to Linear3-g32 -o model-Linear3",
        "nibble quantize model --to Linear4-sym-g128 --layout gptq -o model-gptq",
        "nibble quantize model --to Q3_K_M --dry-run --json")
    {
        Add(_model);
        AddOptions(_output, _to, _layout, _method, _calibration, _calibrationChunks, _onePass, _statistics, _importance, _bits, _size, _range, _override, _keepOutput, _pure, _force, _resume, _allowRequantize, _dryRun, _evaluate, _chunks);
    }

    protected override void Execute(Invocation run)
    {
        long started = Stopwatch.GetTimestamp();
        string path = ModelPath.Resolve(run.Get(_model));
        CalibratedMethod? method = Method(run.Get(_method), run.Get(_calibration), run.Get(_importance));
        (string Text, string Hash)? read = method is null ? null : TextFile.ReadHashed("--calibration", run.Get(_calibration)!);
        string? text = read?.Text;
        if (method is not null && run.Get(_range) is not null)
            throw new UnusableInputException($"--range: {method.Name} chooses ranges by what the inputs are like; leave out --range, or take --method {Nearest}");
        if (run.Get(_calibrationChunks) < 1) throw new UnusableInputException("--calibration-chunks: calibrate on at least 1 chunk");
        if (run.Get(_chunks) is < 1) throw new UnusableInputException("--chunks: measure on at least 1 chunk");
        ByteBudget? budget = ByteBudget.Of(run.Get(_bits), run.Get(_size), text, forFolder: run.Get(_output) is { } named && QuantizationSource.IsFolder(named));
        if (run.Get(_onePass) && method is null) throw new UnusableInputException("--one-pass: is a way to calibrate; give --calibration TEXT");
        SavedStatistics? statistics = SavedStatistics.Of(run.Get(_statistics), text, method, isUsed: run.Get(_onePass) || budget is not null);
        Recipe recipe = budget is null ? Recipe.Parse(run.Get(_to)!) : budget.Recipe;
        bool solves = method is null && Hqq.Word.Equals(run.Get(_method), StringComparison.OrdinalIgnoreCase);
        if (solves && Format.Parse(recipe.Default) is { } format && !Hqq.Suits(format))
            throw new UnusableInputException($"--method {Hqq.Word}: solves a scale with a minimum or a zero point, and {format} has not both in a block; take Q4_1, Q4_K, Linear4 or another that has, or --method {Nearest}");
        QuantizeOptions options = new()
        {
            Hqq = solves,
            Force = run.Get(_force),
            Resume = run.Get(_resume),
            Range = run.Get(_range) is { } range ? RangeRules.Parse(range) : null,
            Importance = run.Get(_importance) is { } measured ? ImportanceMatrix.Read(measured) : null,
            CalibratedOn = CalibratedOn(run, read?.Hash),
        };
        var planOptions = new PlanOptions
        {
            Overrides = [.. (run.Get(_override) ?? []).Select(FormatOverride.Parse)],
            HeadFormat = run.Get(_keepOutput) is { } head ? Format.Parse(head) : null,
            Pure = run.Get(_pure),
        };
        string output = run.Get(_output) ?? $"{ModelPath.NameOf(path)}-{recipe.Name}{(Format.Parse(recipe.Default).GgufType is null ? "" : ".gguf")}";
        bool dryRun = run.Get(_dryRun), evaluates = !dryRun && (run.Get(_evaluate) || run.Get(_model) is null);
        if (!dryRun) CheckFree(output, options.Force, evaluates);

        WrittenLayout? layout = Layout(run.Get(_layout), output, recipe);
        if (layout is not null && budget is not null) throw new UnusableInputException("--layout: has one format for all, and --bits and --size mix them; take --to and leave them out");

        using WorkerPool pool = run.NewPool();
        QuantizeResult result = Quantize(run, path, output, layout, recipe, budget, planOptions, options, method, text, statistics, pool, started);
        if (evaluates) result = result with { Evaluation = BeforeAndAfter.Measure(path, output, run.Get(_chunks), run, pool) };
        run.Print(result, ResultJson.Written.QuantizeResult, r => QuantizeReport.Print(r, run.Terminal));
    }

    private QuantizeResult Quantize(
        Invocation run, string path, string output, WrittenLayout? layout, Recipe recipe, ByteBudget? budget, PlanOptions planOptions, QuantizeOptions options,
        CalibratedMethod? method, string? text, SavedStatistics? statistics, WorkerPool pool, long started)
    {
        using QuantizationSource source = new QuantizationSource(path, output);
        if (layout is not null) planOptions = WithFloatEnds(planOptions, source);
        var quantizer = new ModelQuantizer(source, pool);
        long held = Environment.WorkingSet;
        bool allowRequantize = run.Get(_allowRequantize);
        QuantizationPlan plan = budget is not null ? budget.Plan(source, quantizer, planOptions, options, allowRequantize, text!, statistics, pool, run)
            : quantizer.Plan(recipe, planOptions, allowRequantize, hasImportance: method is not null || options.Importance is not null);
        if (layout is not null) LayoutFolder.Check(path, plan.Tensors.Where(t => t.Format.BlockSize != 1).Select(t => TensorInfo.Of(t.Tensor.Name, t.Format, t.Tensor.Shape)), layout);
        if (method?.Folds == true) plan = plan.WithExactNorms();
        List<string> warnings = [.. source.Warnings, .. Warnings(plan, quantizer, options, method), .. options.Importance?.Warnings(source, plan) ?? []];
        foreach (string warning in warnings) run.Terminal.Warn(warning);
        int chunks = run.Get(_calibrationChunks);
        bool onePass = run.Get(_onePass);
        if (run.Get(_dryRun))
        {
            CalibrationInputs inputs = !onePass ? CalibrationInputs.Quantized : statistics?.HasMoments == true ? CalibrationInputs.Saved : CalibrationInputs.Original;
            double passed = Stopwatch.GetElapsedTime(started).TotalSeconds;
            Forecast? forecast = source.Forecast(plan, options, method, text, chunks, inputs, held, pool);
            QuantizeResult planned = QuantizeResult.OfPlan(plan, output, quantizer.FileBytes(plan, options, output), warnings);
            return planned.Expecting(forecast, passed) with { Statistics = statistics?.Use };
        }
        using MomentsFile? saved = onePass ? statistics?.Moments(source, chunks, pool, run) : null;
        using LayerQuantizer? calibrated = method is null ? null : source.Calibrate(plan, text!, chunks, method, pool, onePass, saved);
        options = options with { Calibrated = calibrated };
        IReadOnlyList<QuantizedTensor> tensors = run.Terminal.Measure("quantizing", quantizer.StoredBytesOfAll, "bytes",
            meter => Write(quantizer, output, layout, plan, options with { Progress = read => meter.Done = read }, run.Cancellation));
        foreach (string warning in calibrated?.Warnings ?? []) run.Terminal.Warn(warning);
        warnings.AddRange(calibrated?.Warnings ?? []);
        return QuantizeResult.Of(plan, tensors, output, warnings, Stopwatch.GetElapsedTime(started).TotalSeconds) with { Statistics = statistics?.Use };
    }

    /// <summary>Writes the output: in another program's layout, from a folder of ours that is written first.</summary>
    private static IReadOnlyList<QuantizedTensor> Write(
        ModelQuantizer quantizer, string output, WrittenLayout? layout, QuantizationPlan plan, QuantizeOptions options, CancellationToken cancellation)
    {
        if (layout is null) return quantizer.Write(output, plan, options, cancellation);
        string ours = Path.TrimEndingDirectorySeparator(output) + ".ours";
        try
        {
            IReadOnlyList<QuantizedTensor> tensors = quantizer.Write(ours, plan, options with { Force = true }, cancellation);
            LayoutFolder.Write(ours, output, layout, options.Force);
            return tensors;
        }
        finally
        {
            if (Directory.Exists(ours)) Directory.Delete(ours, recursive: true);
        }
    }

    /// <summary>The layout that is asked for, or null for ours.</summary>
    private static WrittenLayout? Layout(string? name, string output, Recipe recipe)
    {
        if (name is null) return null;
        var layout = WrittenLayout.Parse(name);
        if (!QuantizationSource.IsFolder(output)) throw new UnusableInputException($"--layout: is for a folder, and {output} is a GGUF file; name an output without .gguf");
        if (layout.Refusal(Format.Parse(recipe.Default)) is { } why)
            throw new UnusableInputException($"--layout {layout.Name}: {why}, and {recipe.Default} is none of them; take --to {layout.Example} or another");
        return layout;
    }

    /// <summary>Other programs want the embedding and the head in floats.</summary>
    private static PlanOptions WithFloatEnds(PlanOptions options, QuantizationSource source)
    {
        Format kept = source.Tensors.FirstOrDefault(t => t.Info.Name == "token_embd.weight")?.StoredFormat is { BlockSize: 1 } stored ? stored : FloatFormat.F16;
        return options with { HeadFormat = options.HeadFormat ?? kept, Overrides = [.. options.Overrides, FormatOverride.Parse($"^token_embd\\.weight$={kept}")] };
    }

    /// <summary>The calibrated method that is asked for, or null for nearest rounding.</summary>
    private static CalibratedMethod? Method(string? name, string? calibration, string? importance)
    {
        if (importance is not null)
        {
            if (calibration is not null) throw new UnusableInputException("--importance: was measured on a text already; leave out --calibration, or --importance");
            if (name is not null && !name.Equals(ImportanceRounding.Word, StringComparison.OrdinalIgnoreCase))
                throw new UnusableInputException($"--importance: does not go with --method {name}; leave out --method, or give the text itself with --calibration");
            return null;
        }
        name ??= calibration is null ? Nearest : "gptq";
        if (name.Equals(Nearest, StringComparison.OrdinalIgnoreCase) || name.Equals(Hqq.Word, StringComparison.OrdinalIgnoreCase))
            return calibration is null ? null
                : throw new UnusableInputException($"--calibration: {(name.Equals(Nearest, StringComparison.OrdinalIgnoreCase) ? "nearest rounding" : Hqq.Word)} looks at no text; leave it out, or take --method gptq or importance");
        CalibratedMethod method = CalibratedMethod.Parse(name);
        return calibration is not null ? method
            : throw new UnusableInputException($"--method {method.Name}: needs a text to calibrate on; give --calibration TEXT");
    }

    /// <summary>What the file will say that its bits were chosen by.</summary>
    private string? CalibratedOn(Invocation run, string? textHash) =>
        textHash is not null ? $"text={textHash} chunks={run.Get(_calibrationChunks)}{(run.Get(_onePass) ? " one-pass" : "")}"
        : run.Get(_importance) is { } file ? $"file={Provenance.ShortHash(file)}" : null;

    /// <summary>Refuses an existing output before any work, and says how to go on.</summary>
    private static void CheckFree(string output, bool force, bool evaluates)
    {
        if (evaluates && !force && (File.Exists(output) || Directory.Exists(output)))
            throw new UnusableInputException($"{output}: exists already; --force makes it again, and '{CommandLine.Name} run {output} -p TEXT' runs it");
        if (QuantizationSource.IsFolder(output)) OutputFolder.CheckFree(output, force);
        else OutputFile.CheckFree(output, force);
    }

    private static List<string> Warnings(QuantizationPlan plan, ModelQuantizer quantizer, QuantizeOptions options, CalibratedMethod? method)
    {
        var warnings = new List<string>();
        foreach (var group in plan.FellBack.GroupBy(t => (t.Wanted!.Name, Format: t.Format.Name, t.Tensor.Columns)))
            warnings.Add($"{group.Count()} tensors have rows of {group.Key.Columns}, which {group.Key.Name} cannot divide into its blocks: they become {group.Key.Format} ({group.First().Tensor.Name}, ...)");
        int again = quantizer.Requantized(plan).Count();
        if (again > 0) warnings.Add($"{again} tensors were quantized already and lose again; the original model gives a better result");
        PlannedTensor[] unsolved = options.Hqq ? [.. plan.Tensors.Where(t => t.Format.Family != FormatFamily.Float && !Hqq.Suits(t.Format.ForColumns((int)t.Tensor.Columns)))] : [];
        if (unsolved.Length > 0)
            warnings.Add($"--method {Hqq.Word} has no minimum to solve in {unsolved.Length} tensors, which are rounded to nearest ({FormatsOf(unsolved)})");
        PlannedTensor[] untuned = method?.TunesScales != true ? []
            : [.. plan.Tensors.Where(t => TensorRoles.LayerOf(t.Tensor.Name) >= 0 && t.Format.Family != FormatFamily.Float && t.Format.ForColumns((int)t.Tensor.Columns).BlockParameters.Count == 0)];
        if (untuned.Length > 0)
            warnings.Add($"--method {method!.Name} has no scales to tune in {untuned.Length} tensors, which are made as by gptq ({FormatsOf(untuned)})");
        PlannedTensor[] withoutRange = [.. plan.Tensors.Where(t => t.Format.Family != FormatFamily.Float && !t.Format.HasRange)];
        if (options.Range is { } range && withoutRange.Length > 0)
            warnings.Add($"--range {range.Name} has no say in {withoutRange.Length} tensors, whose formats have no range to choose ({FormatsOf(withoutRange)})");
        return warnings;

        static string FormatsOf(IEnumerable<PlannedTensor> tensors) => string.Join(", ", tensors.Select(t => t.Format.Name).Distinct());
    }
}

internal sealed record QuantizeResult(
    string Output, string Recipe, long Bytes, double BitsPerWeight, double Seconds, long PeakMemoryBytes, int FallbackCount, bool DryRun,
    IReadOnlyList<string> Warnings, IReadOnlyList<QuantizedRow> Tensors, BeforeAndAfter? Evaluation, double? ExpectedSeconds = null, long? ExpectedPeakMemoryBytes = null,
    StatisticsUse? Statistics = null)
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

internal sealed record QuantizedRow(
    string Name, IReadOnlyList<long> Shape, string Format, string? WantedFormat, long Bytes, string Method, double RelativeMse, double? SqnrDb,
    double MaxError = 0, double ClippedShare = 0, double? CodesUsed = null, double? CodeEntropy = null)
{
    public static QuantizedRow Of(PlannedTensor t) => new(t.Tensor.Name, t.Tensor.Shape, t.Format.Name, t.Wanted?.Name, t.Bytes, "nearest", 0, null);
}
