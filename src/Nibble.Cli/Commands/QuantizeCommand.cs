using System.CommandLine;
using System.Diagnostics;
using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Threading;
using Nibble.Files;
using Nibble.Files.Packed;
using Nibble.Quantization;
using Nibble.Quantization.Calibration;
using Nibble.Quantization.Methods;
using Nibble.Quantization.Ranges;
using Nibble.Quantization.Recipes;
using Nibble.Quantization.Rotation;

namespace Nibble.Cli.Commands;

/// <summary>Makes a model small.</summary>
internal sealed class QuantizeCommand : Verb
{
    private const string DefaultRecipe = "Q4_0", Nearest = "nearest";
    private const int CalibrationChunks = 64;

    /// <summary>A relative mean-square error that no model bears in many matrices: three levels that are well chosen lose 0.2, and four 0.12.</summary>
    private const double RuinousError = 0.3;

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
    private readonly Option<bool> _rotate = new("--rotate") { Description = "Rotate the residual stream first (a randomized Hadamard matrix in the weights): no outliers in columns, and nothing to do when the model runs. A head that is the embedding becomes a matrix of its own." };
    private readonly Option<bool> _onePass = new("--one-pass") { Description = "Calibrate each layer on what it reads in the original model, not on what the quantized layers before it produce: faster, less good." };
    private readonly Option<string?> _statistics = new("--statistics") { Description = "Keep in DIR what is measured of the original model (a budget's prices, with --one-pass the moments of all inputs), and take it from there next time.", HelpName = "DIR" };
    private readonly Option<double?> _bits = new("--bits") { Description = "Instead of a recipe: at most B bits a weight, each matrix in the format that serves the whole best. Needs --calibration.", HelpName = "B" };
    private readonly Option<string?> _size = new("--size") { Description = "The same for a file of at most so many bytes: 20MB, 1.5GiB, or a plain number.", HelpName = "BYTES" };
    private readonly Option<string?> _range = new("--range")
    {
        Description = $"How dynamic ranges are chosen: {string.Join(", ", RangeRules.All.Select(r => r.Name))}. [default: each format's own way]",
        HelpName = "R",
    };
    private readonly Option<string[]> _override = new("--override") { Description = "Give tensors whose GGUF name (blk.0.ffn_down.weight) fits a pattern another format; may be given more than once.", HelpName = "PATTERN=FORMAT" };
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
        AddOptions(_output, _to, _layout, _method, _calibration, _calibrationChunks, _onePass, _statistics, _importance, _rotate, _bits, _size, _range, _override, _keepOutput, _pure, _force, _resume, _allowRequantize, _dryRun, _evaluate, _chunks);
    }

    /// <summary>What a run was asked for, once that is known to go together.</summary>
    /// <param name="Model">The original.</param>
    /// <param name="Text">That is calibrated on; null with nearest rounding.</param>
    private sealed record Settings(
        string Model, string Output, Recipe Recipe, ByteBudget? Budget, PlanOptions Plan, QuantizeOptions Options, CalibratedMethod? Method, string? Text,
        WrittenLayout? Layout, SavedStatistics? Statistics);

    protected override void Execute(Invocation run)
    {
        long started = Stopwatch.GetTimestamp();
        Settings settings = Read(run);
        bool dryRun = run.Get(_dryRun), evaluates = !dryRun && (run.Get(_evaluate) || run.Get(_model) is null);
        if (!dryRun) CheckFree(settings, evaluates);
        if (evaluates) BeforeAndAfter.Check(settings.Model, run.Get(_chunks));

        using WorkerPool pool = run.NewPool();
        QuantizeResult result = Quantize(run, settings, pool, started);
        if (evaluates) result = result with { Evaluation = BeforeAndAfter.Measure(settings.Model, settings.Output, run.Get(_chunks), run, pool) };
        run.Print(result, ResultJson.Written.QuantizeResult, r => QuantizeReport.Print(r, run.Terminal));
    }

    private Settings Read(Invocation run)
    {
        WarnOfIdle(run);
        string path = ModelPath.Resolve(run.Get(_model));
        CalibratedMethod? method = Method(run.Get(_method), run.Get(_calibration), run.Get(_importance));
        (string Text, string Hash)? read = method is null ? null : TextFile.ReadHashed("--calibration", run.Get(_calibration)!);
        string? text = read?.Text;
        if (method is not null && run.Get(_range) is not null)
            throw new UnusableInputException($"--range: {method.Name} chooses ranges by what the inputs are like; leave out --range, or take --method {Nearest}");
        if (run.Get(_calibrationChunks) < 1) throw new UnusableInputException("--calibration-chunks: calibrate on at least 1 chunk");
        if (run.Get(_chunks) is < 1) throw new UnusableInputException("--chunks: measure on at least 1 chunk");
        if (run.Get(_rotate) && run.Get(_importance) is not null)
            throw new UnusableInputException("--importance: was measured in the model that is not rotated; give the text itself with --calibration, or leave out --rotate");
        ByteBudget? budget = ByteBudget.Of(run.Get(_bits), run.Get(_size), text, forFolder: run.Get(_output) is { } named && QuantizationSource.IsFolder(named));
        if (run.Get(_onePass) && method is null) throw new UnusableInputException("--one-pass: is a way to calibrate; give --calibration TEXT");
        SavedStatistics? statistics = SavedStatistics.Of(run.Get(_statistics), text, method, isUsed: run.Get(_onePass) || budget is not null);
        Recipe recipe = budget is null ? Recipe.Parse(run.Get(_to)!) : budget.Recipe;
        string output = run.Get(_output) ?? $"{ModelPath.NameOf(path)}-{recipe.Name}{(Format.Parse(recipe.Default).GgufType is null ? "" : ".gguf")}";
        WrittenLayout? layout = Layout(run.Get(_layout), output, recipe);
        if (layout is not null && budget is not null) throw new UnusableInputException("--layout: has one format for all, and --bits and --size mix them; take --to and leave them out");
        var plan = new PlanOptions
        {
            Overrides = [.. (run.Get(_override) ?? []).Select(FormatOverride.Parse)],
            HeadFormat = run.Get(_keepOutput) is { } head ? Format.Parse(head) : null,
            Pure = run.Get(_pure),
        };
        return new Settings(path, output, recipe, budget, plan, OptionsOf(run, recipe, method, read?.Hash), method, text, layout, statistics);
    }

    /// <summary>Names options that change nothing beside the others: whoever gives one expects something of it.</summary>
    private void WarnOfIdle(Invocation run)
    {
        string? budget = run.IsGiven(_bits) ? "--bits" : run.IsGiven(_size) ? "--size" : null;
        if (budget is not null && run.IsGiven(_to)) run.Terminal.Warn($"--to has no say: {budget} chooses each matrix's format");
        if (budget is not null && run.Get(_pure)) run.Terminal.Warn($"--pure has no say: it is one format for all, and {budget} mixes them");
        if (run.IsGiven(_calibrationChunks) && run.Get(_calibration) is null) run.Terminal.Warn("--calibration-chunks has no say: there is no --calibration TEXT");
        if (run.IsGiven(_chunks) && run.Get(_model) is not null && !run.Get(_evaluate)) run.Terminal.Warn("--chunks has no say: nothing is measured without --evaluate");
        if (run.Get(_dryRun) && run.Get(_evaluate)) run.Terminal.Warn("--evaluate has no say: --dry-run writes nothing that could be measured");
        if (run.Get(_dryRun) && run.Get(_resume)) run.Terminal.Warn("--resume has no say: --dry-run shows the whole run, and writes nothing");
    }

    private QuantizeOptions OptionsOf(Invocation run, Recipe recipe, CalibratedMethod? method, string? textHash)
    {
        bool solves = method is null && Hqq.Word.Equals(run.Get(_method), StringComparison.OrdinalIgnoreCase);
        if (solves && Format.Parse(recipe.Default) is { } format && !Hqq.Suits(format))
            throw new UnusableInputException($"--method {Hqq.Word}: solves a scale with a minimum or a zero point, and {format} has not both in a block; take Q4_1, Q4_K, Linear4 or another that has, or --method {Nearest}");
        return new QuantizeOptions
        {
            Hqq = solves,
            Force = run.Get(_force),
            Resume = run.Get(_resume),
            Range = run.Get(_range) is { } range ? RangeRules.Parse(range) : null,
            Importance = run.Get(_importance) is { } measured ? ImportanceMatrix.Read(measured) : null,
            CalibratedOn = CalibratedOn(run, textHash),
        };
    }

    private QuantizeResult Quantize(Invocation run, Settings settings, WorkerPool pool, long started)
    {
        using RotatedModel? rotated = !run.Get(_rotate) ? null : run.Terminal.Measure("rotating", 1, "", meter => RotatedModel.Make(
            settings.Model, settings.Output, run.Get(_allowRequantize), pool, (read, all) => meter.Done = (double)read / all, run.Cancellation));
        using var source = new QuantizationSource(rotated?.Path ?? settings.Model, settings.Output, rotated?.Origin) { TextName = run.Get(_calibration) };
        var quantizer = new ModelQuantizer(source, pool);
        long held = Environment.WorkingSet;
        QuantizationPlan plan = Plan(run, settings, source, quantizer, pool);
        List<string> warnings = [.. source.Warnings, .. Warnings(plan, quantizer, settings.Options, settings.Method), .. settings.Options.Importance?.Warnings(source, plan) ?? []];
        foreach (string warning in warnings) run.Terminal.Warn(warning);
        int chunks = run.Get(_calibrationChunks);
        bool onePass = run.Get(_onePass);
        SavedStatistics? statistics = settings.Statistics;
        string? rotation = source.Rotation.Length > 0 ? source.Rotation : null;
        if (run.Get(_dryRun))
        {
            CalibrationInputs inputs = !onePass ? CalibrationInputs.Quantized : statistics?.HasMoments == true ? CalibrationInputs.Saved : CalibrationInputs.Original;
            double passed = Stopwatch.GetElapsedTime(started).TotalSeconds;
            Forecast? forecast = source.Forecast(plan, settings.Options, settings.Method, settings.Text, chunks, inputs, held, pool);
            QuantizeResult planned = QuantizeResult.OfPlan(plan, settings.Output, quantizer.FileBytes(plan, settings.Options, settings.Output), warnings);
            return planned.Expecting(forecast, passed) with { Statistics = statistics?.Use, Rotation = rotation };
        }
        using MomentsFile? saved = onePass ? statistics?.Moments(source, chunks, pool, run) : null;
        using LayerQuantizer? calibrated = settings.Method is { } method ? source.Calibrate(plan, settings.Text!, chunks, method, pool, onePass, saved) : null;
        QuantizeOptions options = settings.Options with { Calibrated = calibrated };
        IReadOnlyList<QuantizedTensor> tensors = run.Terminal.Measure("quantizing", quantizer.StoredBytesOfAll, "bytes",
            meter => Write(quantizer, settings.Output, settings.Layout, plan, options with { Progress = read => meter.Done = read }, run.Cancellation));
        List<string> found = [.. calibrated?.Warnings ?? [], .. Ruined(tensors, settings)];
        foreach (string warning in found) run.Terminal.Warn(warning);
        warnings.AddRange(found);
        return QuantizeResult.Of(plan, tensors, settings.Output, warnings, Stopwatch.GetElapsedTime(started).TotalSeconds) with { Statistics = statistics?.Use, Rotation = rotation };
    }

    private QuantizationPlan Plan(Invocation run, Settings settings, QuantizationSource source, ModelQuantizer quantizer, WorkerPool pool)
    {
        PlanOptions options = settings.Layout is null ? settings.Plan : WithFloatEnds(settings.Plan, source);
        bool allowRequantize = run.Get(_allowRequantize);
        QuantizationPlan plan = settings.Budget is { } budget
            ? budget.Plan(source, quantizer, options, settings.Options, allowRequantize, settings.Text!, settings.Statistics, pool, run)
            : quantizer.Plan(settings.Recipe, options, allowRequantize, hasImportance: settings.Method is not null || settings.Options.Importance is not null);
        if (settings.Layout is { } layout)
            LayoutFolder.Check(source.Path, plan.Tensors.Where(t => t.Format.BlockSize != 1).Select(t => TensorInfo.Of(t.Tensor.Name, t.Format, t.Tensor.Shape)), layout);
        return settings.Method?.Folds == true ? plan.WithExactNorms() : plan;
    }

    /// <summary>Writes the output: in another program's layout, from a folder of ours that is written first.</summary>
    private static IReadOnlyList<QuantizedTensor> Write(
        ModelQuantizer quantizer, string output, WrittenLayout? layout, QuantizationPlan plan, QuantizeOptions options, CancellationToken cancellation)
    {
        if (layout is null) return WriteOurs(quantizer, output, plan, options, cancellation);
        string ours = OursOf(output);
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

    private static IReadOnlyList<QuantizedTensor> WriteOurs(ModelQuantizer quantizer, string output, QuantizationPlan plan, QuantizeOptions options, CancellationToken cancellation)
    {
        try
        {
            return quantizer.Write(output, plan, options, cancellation);
        }
        catch (OperationCanceledException e) when (options.Resume)
        {
            throw new StoppedException($"stopped; {output}.partial keeps what is done, and the same command goes on with it", e);
        }
    }

    /// <summary>Where a model lies until it is laid out as another program reads it.</summary>
    private static string OursOf(string output) => Path.TrimEndingDirectorySeparator(output) + ".ours";

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
    private static void CheckFree(Settings settings, bool evaluates)
    {
        (string output, bool force) = (settings.Output, settings.Options.Force);
        if (evaluates && !force && (File.Exists(output) || Directory.Exists(output)))
            throw new UnusableInputException($"{output}: exists already; --force makes it again, and '{CommandLine.Name} run {output} -p TEXT' runs it");
        if (settings.Options.Resume && QuantizationSource.IsFolder(output))
            throw new UnusableInputException($"{output}: only a .gguf file can be resumed; a folder is written anew, without --resume");
        if (QuantizationSource.IsFolder(output)) OutputFolder.CheckFree(output, force);
        else OutputFile.CheckFree(output, force);
        // Deleted in the end, so it must be nobody's.
        if (settings.Layout is not null && Path.Exists(OursOf(output)))
            throw new UnusableInputException($"{OursOf(output)}: is where the model shall lie while it is needed, and is there already; move or delete it, or name another output with -o");
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
    }

    /// <summary>Says that plain rounding has taken more of matrices than a model can bear, where a better range would not.</summary>
    private static IEnumerable<string> Ruined(IReadOnlyList<QuantizedTensor> tensors, Settings settings)
    {
        if (settings is not { Method: null, Options.Importance: null } || settings.Options.Range is MeanSquareRange) yield break;
        // Of two levels even the best lose more than a third, and no range helps.
        QuantizedTensor[] ruined = [.. tensors.Where(t => t.Error.RelativeMse > RuinousError && t.Plan.Format is { HasRange: true, CodeCount: > 2 })];
        if (ruined.Length == 0) yield break;
        (double least, double most) = (ruined.Min(t => t.Error.RelativeMse), ruined.Max(t => t.Error.RelativeMse));
        yield return FormattableString.Invariant(
            $"{ruined.Length} tensors have a relative error of {100 * least:F0} to {100 * most:F0} % ({FormatsOf(ruined.Select(t => t.Plan))}), and so much no model bears; --range mse loses less");
    }

    private static string FormatsOf(IEnumerable<PlannedTensor> tensors) => string.Join(", ", tensors.Select(t => t.Format.Name).Distinct());
}
