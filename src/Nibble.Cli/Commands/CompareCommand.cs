using System.CommandLine;
using System.Diagnostics;
using System.Text.Json;
using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Quantization;
using Nibble.Quantization.Evaluation;
using Nibble.Quantization.Ranges;
using Nibble.Quantization.Recipes;
using Spectre.Console;

namespace Nibble.Cli.Commands;

/// <summary>Quantizes a model to each point of a grid and measures what each cost, in one table.</summary>
internal sealed class CompareCommand : Verb
{
    private readonly Argument<string?> _model = ModelArgument();
    private readonly Option<string[]> _formats = new("--formats")
    {
        Description = "Formats or recipes, with commas between them; braces make a grid: 'Linear{2,3,4}-{g32,row},NF4'.",
        HelpName = "LIST",
        Required = true,
    };
    private readonly Option<string[]> _ranges = new("--ranges") { Description = "Each of the formats with each of these ranges. [default: each format's own way]", HelpName = "LIST" };
    private readonly Option<string?> _text = new("--text") { Description = "A text file. [default: the bundled excerpts of old novels]", HelpName = "FILE" };
    private readonly Option<int> _context = new("--context") { Description = "Tokens a chunk; the second half of each is scored.", HelpName = "N", DefaultValueFactory = _ => 512 };
    private readonly Option<int?> _chunks = new("--chunks") { Description = "Score only the first N chunks. [default: all]", HelpName = "N" };
    private readonly Option<bool> _pure = new("--pure") { Description = "Every matrix in the one format, embedding and head too." };
    private readonly Option<string?> _output = new("--output", "-o") { Description = "Save the table: .json, or .md and anything else as Markdown.", HelpName = "FILE" };
    private readonly Option<bool> _force = new("--force") { Description = "Replace an existing output." };

    public CompareCommand() : base("compare", "Quantize a model to many formats and measure them side by side.",
        "nibble compare --formats 'Linear{2,3,4}-{g32,row},NF4,Vector8x256' --chunks 8",
        "nibble compare model --formats Linear3 --ranges min-max,mse,percentile --text wiki.txt -o ranges.md")
    {
        Add(_model);
        AddOptions(_formats, _ranges, _text, _context, _chunks, _pure, _output, _force);
    }

    protected override void Execute(Invocation run)
    {
        if (run.Get(_chunks) is < 1) throw new UnusableInputException("--chunks: score at least 1 chunk");
        Recipe[] recipes = [.. (run.Get(_formats) ?? []).SelectMany(GridList.Expand).Select(Recipe.Parse)];
        if (recipes.Length == 0) throw new UnusableInputException("--formats: names no format; give one or more, with commas between them");
        DynamicRange?[] ranges = [.. (run.Get(_ranges) ?? []).SelectMany(GridList.Expand).Select(RangeRules.Parse)];
        if (run.Get(_output) is { } output) Files.OutputFile.CheckFree(output, run.Get(_force));
        string path = ModelPath.Resolve(run.Get(_model)), text = TextFile.Read(run.Get(_text));
        using WorkerPool pool = run.NewPool();
        using LoadedModel reference = LoadedModel.Open(path, pool, run.Terminal);
        EvaluationText chunks = EvaluationText.Of(text, reference.Tokenizer, run.Get(_context), run.Get(_chunks) ?? int.MaxValue, run.Get(_text));
        InspectResult original = InspectResult.Of(reference.Source);
        Check(run, reference.Source, recipes, ranges.Length > 0, pool);
        var rows = new List<CompareRow>();
        foreach (Recipe recipe in recipes)
            foreach (DynamicRange? range in ranges is [] ? [null] : ranges)
            {
                if (rows.Count > 0) run.Cancellation.ThrowIfCancellationRequested();
                rows.Add(Measure(run, path, recipe, range, reference, chunks, pool));
            }
        var result = new CompareResult(path, original.Bytes, original.BitsPerWeight, rows[0].ReferencePerplexity, chunks.Chunks, chunks.Context, run.Get(_pure), rows);
        if (run.Get(_output) is { } file) Save(result, file, run.Get(_force));
        run.Print(result, ResultJson.Written.CompareResult, r => run.Terminal.Write(r.Table()));
    }

    /// <summary>Refuses a format that the model cannot have before any is measured, and says where a range would change nothing.</summary>
    private void Check(Invocation run, ModelSource reference, Recipe[] recipes, bool hasRanges, WorkerPool pool)
    {
        using var source = new QuantizationSource(reference.Path, NameOfOutput(reference));
        foreach (Recipe recipe in recipes)
        {
            Format format = Format.Parse(recipe.Default);
            if (!source.IsForFolder && format.GgufType is null)
                throw new UnusableInputException($"--formats {recipe.Name}: GGUF has no type for {format}, and {reference.Path} is a GGUF file; take the Hugging Face folder that it was made from");
            QuantizationPlan plan = PlanOf(new ModelQuantizer(source, pool), recipe, run.Get(_pure));
            if (hasRanges && !plan.Tensors.Any(t => t.Format.Family != FormatFamily.Float && t.Format.HasRange))
                run.Terminal.Warn($"--ranges has no say in {recipe.Name}, whose formats have no range to choose: its rows will be alike");
        }
    }

    private static string NameOfOutput(ModelSource reference) => reference.File is Files.Gguf.GgufFile ? "model.gguf" : "model";

    private static QuantizationPlan PlanOf(ModelQuantizer quantizer, Recipe recipe, bool pure) =>
        quantizer.Plan(recipe, new PlanOptions { Pure = pure }, allowRequantize: false);

    /// <summary>Quantizes into a temporary place, measures, and deletes it again.</summary>
    private CompareRow Measure(Invocation run, string path, Recipe recipe, DynamicRange? range, LoadedModel reference, EvaluationText chunks, WorkerPool pool)
    {
        long started = Stopwatch.GetTimestamp();
        string name = range is null ? recipe.Name : $"{recipe.Name} {range.Name}", work = Directory.CreateTempSubdirectory("nibble-compare-").FullName;
        try
        {
            string output = Path.Combine(work, NameOfOutput(reference.Source));
            IReadOnlyList<QuantizedTensor> tensors = Quantize(run, path, output, recipe, range, name, pool);
            using LoadedModel model = LoadedModel.Open(output, pool, run.Terminal);
            using var evaluator = new Evaluator(model.Decoder, reference.Decoder, chunks, pool);
            EvaluationResult measured = run.Terminal.Measure($"{name}: measuring", chunks.Chunks, "chunks",
                meter => evaluator.Run(done => meter.Done = done, run.Cancellation));
            return CompareRow.Of(recipe, range, InspectResult.Of(model.Source), tensors, measured, Stopwatch.GetElapsedTime(started).TotalSeconds);
        }
        finally
        {
            Directory.Delete(work, recursive: true);
        }
    }

    private IReadOnlyList<QuantizedTensor> Quantize(Invocation run, string path, string output, Recipe recipe, DynamicRange? range, string name, WorkerPool pool)
    {
        using var source = new QuantizationSource(path, output);
        var quantizer = new ModelQuantizer(source, pool);
        QuantizationPlan plan = PlanOf(quantizer, recipe, run.Get(_pure));
        return run.Terminal.Measure($"{name}: quantizing", quantizer.StoredBytesOfAll, "bytes", meter =>
            quantizer.Write(output, plan, new QuantizeOptions { Range = range, Progress = read => meter.Done = read }, run.Cancellation));
    }

    private static void Save(CompareResult result, string path, bool force)
    {
        string text = Path.GetExtension(path).Equals(".json", StringComparison.OrdinalIgnoreCase)
            ? JsonSerializer.Serialize(result, ResultJson.Written.CompareResult) + "\n" : result.Markdown();
        using var file = new Files.OutputFile(path, force);
        file.Stream.Write(System.Text.Encoding.UTF8.GetBytes(text));
        file.Commit();
    }
}
