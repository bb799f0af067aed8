using System.CommandLine;
using System.Diagnostics;
using System.Text.Json.Serialization;
using Nibble.Core;
using Nibble.Core.Threading;
using Nibble.Files;
using Nibble.Quantization;
using Nibble.Quantization.Evaluation;
using Nibble.Quantization.Reports;
using Spectre.Console;

namespace Nibble.Cli.Commands;

/// <summary>Measures some models against the one they were made from, and writes one page about them.</summary>
internal sealed class ReportCommand : Verb
{
    private const string DefaultOutput = "report.html";
    private const int DefaultContext = 512, DefaultChunks = 20;

    private readonly Argument<string[]> _models = new("MODEL")
    {
        Description = "Hugging Face folders or .gguf files; the first is the reference unless --reference names another.",
        Arity = ArgumentArity.OneOrMore,
    };
    private readonly Option<string> _output = new("--output", "-o") { Description = "The page to write.", HelpName = "REPORT.html", DefaultValueFactory = _ => DefaultOutput };
    private readonly Option<string?> _reference = new("--reference") { Description = "The model that they were made from. [default: the first of two or more]", HelpName = "MODEL" };
    private readonly Option<string?> _text = new("--text") { Description = "A text file. [default: the bundled excerpts of old novels]", HelpName = "FILE" };
    private readonly Option<int> _context = new("--context") { Description = "Tokens a chunk; the second half of each is scored.", HelpName = "N", DefaultValueFactory = _ => DefaultContext };
    private readonly Option<int> _chunks = new("--chunks") { Description = "Score only the first N chunks; errors of layers are measured on the first 4.", HelpName = "N", DefaultValueFactory = _ => DefaultChunks };
    private readonly Option<string?> _tensor = new("--tensor") { Description = "The tensor whose histogram is drawn: blk.0.attn_q. [default: the one most to blame]", HelpName = "NAME" };
    private readonly Option<string?> _beside = new("--beside")
    {
        Description = "Draw what others reached, mean KL against bytes: a table with tabs between its columns recipe, bytes, mean_kl.",
        HelpName = "FILE.tsv",
    };
    private readonly Option<bool> _force = new("--force") { Description = "Replace an existing page." };

    public ReportCommand() : base("report", "Compare models on one page: size, quality, and where the error comes from.",
        "nibble report model model-Q8_0.gguf model-Q4_0.gguf -o report.html",
        "nibble report a.gguf b.gguf --reference model --text wiki.txt --chunks 80 --tensor blk.3.ffn_down")
    {
        Add(_models);
        AddOptions(_output, _reference, _text, _context, _chunks, _tensor, _beside, _force);
    }

    protected override void Execute(Invocation run)
    {
        long started = Stopwatch.GetTimestamp();
        if (run.Get(_chunks) < 1) throw new UnusableInputException("--chunks: score at least 1 chunk");
        string output = run.Get(_output)!;
        OutputFile.CheckFree(output, run.Get(_force));
        string[] paths = [.. run.Get(_models)!.Select(ModelPath.Resolve)];
        string? reference = run.Get(_reference) is { } named ? ModelPath.Resolve(named) : paths.Length > 1 ? paths[0] : null;
        string[] compared = [.. paths.Where(p => reference is null || Place(p) != Place(reference)).DistinctBy(Place)];
        if (reference is null && run.Get(_tensor) is not null) throw new UnusableInputException("--tensor: its numbers are drawn beside the original's; give --reference MODEL");
        if (compared.Length == 0) throw new UnusableInputException($"{reference}: is all there is to compare with itself; name a model that was made from it");
        var text = new ReportText(TextFile.Read(run.Get(_text)), run.Get(_text), run.Get(_context), run.Get(_chunks));

        OtherResults? beside = run.Get(_beside) is { } table ? OtherResults.Parse(table, TextFile.Read(table, "--beside")) : null;
        if (beside is not null && reference is null) throw new UnusableInputException("--beside: compares mean KL divergence, for which --reference names the original model");

        using WorkerPool pool = run.NewPool();
        var measurement = new ReportMeasurement(run, pool, text, reference);
        measurement.Check(compared, run.Get(_tensor));
        Report report = measurement.Measure(compared, run.Get(_tensor)) with { Version = Provenance.Program.Split(' ')[1], Beside = beside };
        using var file = new OutputFile(output, run.Get(_force));
        ReportPage.Write(report, file.Stream);
        file.Commit();
        ReportResult result = ReportResult.Of(report, output, Stopwatch.GetElapsedTime(started).TotalSeconds);
        run.Print(result, ResultJson.Written.ReportResult, r => Print(r, run.Terminal));
    }

    /// <summary>Where a model lies, however it is spelled.</summary>
    private static string Place(string path) => Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));

    private static void Print(ReportResult r, Terminal terminal)
    {
        Table table = new Table().Border(TableBorder.Simple).AddColumn("model").AddColumn(new TableColumn("size").RightAligned())
            .AddColumn(new TableColumn("bits/weight").RightAligned()).AddColumn(new TableColumn("perplexity").RightAligned())
            .AddColumn(new TableColumn("KL mean").RightAligned()).AddColumn("most to blame");
        foreach (ReportedModel m in r.Models)
        {
            ReportedTensor? worst = m.Tensors?.MaxBy(t => t.Blame ?? 0);
            table.AddRow(
                Markup.Escape(m.Name), Quantity.Bytes(m.Bytes), $"{m.BitsPerWeight:F2}", $"{m.Perplexity:F3}", $"{m.Kld?.Mean:F5}",
                worst is { Blame: > 0 } ? $"{worst.Name} ({100 * worst.Blame:F0} %)" : "");
        }
        terminal.Write(table);
        terminal.Markup($"  [bold]{Markup.Escape(r.Output)}[/] is written ({r.Seconds:F0} s); open it in a browser");
    }
}

internal sealed record ReportResult(string Output, string? Reference, string Text, int Chunks, int Context, double Seconds, IReadOnlyList<ReportedModel> Models)
{
    public static ReportResult Of(Report report, string output, double seconds) => new(
        output, report.Reference?.Name, report.Text, report.Chunks, report.Context, seconds, [.. report.Models.Select(ReportedModel.Of)]);
}

internal sealed record ReportedModel(
    string Name, long Bytes, double BitsPerWeight, double Perplexity, double PerplexityError, KldResult? Kld,
    [property: JsonPropertyName("top1_agreement")] double? Top1Agreement, IReadOnlyList<LayerError>? Layers, IReadOnlyList<ReportedTensor>? Tensors)
{
    public static ReportedModel Of(ReportModel m) => new(
        m.Name, m.Bytes, m.BitsPerWeight, m.Perplexity.Value, m.Perplexity.Error, KldResult.Of(m.Divergence), m.Divergence?.Top1Agreement,
        m.Errors?.Layers, m.Errors is null ? null : [.. m.Errors.Tensors.Select(ReportedTensor.Of)]);
}

internal sealed record ReportedTensor(
    string Name, string Format, long Bytes, double RelativeMse, double? SqnrDb, double MaxError, double ClippedShare, double? CodesUsed,
    double? CodeEntropy, double? OutputError, double? Blame)
{
    public static ReportedTensor Of(ReportTensor t) => new(
        t.Name, t.Format, t.Bytes, t.Weights.RelativeMse, double.IsFinite(t.Weights.SqnrDecibel) ? t.Weights.SqnrDecibel : null, t.Weights.MaxError,
        t.Weights.ClippedShare, t.Weights.CodesUsed, t.Weights.CodeEntropy, t.Output?.Output, t.Output?.Blame);
}
