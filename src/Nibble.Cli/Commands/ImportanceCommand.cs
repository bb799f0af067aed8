using System.CommandLine;
using System.Diagnostics;
using Nibble.Core;
using Nibble.Core.Threading;
using Nibble.Files;
using Nibble.Quantization;
using Nibble.Quantization.Calibration;
using Spectre.Console;

namespace Nibble.Cli.Commands;

/// <summary>Measures what the matrices of a model read, for quantizers to know which columns matter.</summary>
internal sealed class ImportanceCommand : Verb
{
    private readonly Argument<string?> _model = ModelArgument();
    private readonly Option<string> _text = new("--text") { Description = "A text like those the model will read.", HelpName = "FILE", Required = true };
    private readonly Option<string> _output = new("--output", "-o") { Description = "The file to write; llama-quantize --imatrix reads it too.", HelpName = "OUT", Required = true };
    private readonly Option<int> _context = new("--context") { Description = "Tokens a chunk.", HelpName = "N", DefaultValueFactory = _ => 512 };
    private readonly Option<int?> _chunks = new("--chunks") { Description = "Read N chunks, taken evenly from the text. [default: all]", HelpName = "N" };
    private readonly Option<bool> _processOutput = new("--process-output") { Description = "Measure the output matrix too; it is usually better without." };
    private readonly Option<bool> _force = new("--force") { Description = "Replace an existing output." };

    public ImportanceCommand() : base("importance", "Measure how much each input column of each matrix matters, for quantize --importance.",
        "nibble importance model --text calib.txt -o model-imatrix.gguf",
        "nibble importance model.gguf --text calib.txt --chunks 100 -o model-imatrix.gguf --json",
        "nibble quantize model --to IQ3_XXS --importance model-imatrix.gguf -o model-IQ3_XXS.gguf")
    {
        Add(_model);
        AddOptions(_text, _output, _context, _chunks, _processOutput, _force);
    }

    protected override void Execute(Invocation run)
    {
        long started = Stopwatch.GetTimestamp();
        string textPath = run.Get(_text)!, output = run.Get(_output)!;
        if (run.Get(_chunks) is < 1) throw new UnusableInputException("--chunks: read at least 1 chunk");
        OutputFile.CheckFree(output, run.Get(_force));
        string path = ModelPath.Resolve(run.Get(_model)), text = TextFile.Read(textPath);
        using WorkerPool pool = run.NewPool();
        using var source = new QuantizationSource(path) { TextName = textPath };
        ImportanceMatrix matrix = run.Terminal.Measure("measuring", source.Layers, "layers", meter => source.MeasureImportance(
            text, Path.GetFileName(textPath), run.Get(_chunks) ?? int.MaxValue, run.Get(_context), run.Get(_processOutput), pool, done => meter.Done = done, run.Cancellation));
        matrix.Write(output, run.Get(_force));
        ImportanceResult result = ImportanceResult.Of(matrix, source, output, Stopwatch.GetElapsedTime(started).TotalSeconds);
        foreach (string warning in result.Warnings) run.Terminal.Warn(warning);
        run.Print(result, ResultJson.Written.ImportanceResult, r => Print(r, run.Terminal));
    }

    /// <summary>For a terminal of 80 columns: units stand above the numbers, and a matrix has its name without the <c>.weight</c> that all end with.</summary>
    private static void Print(ImportanceResult result, Terminal terminal)
    {
        const string Ending = ".weight";
        Table table = new Table().Border(TableBorder.Simple).AddColumn(new TableColumn("matrix").NoWrap());
        foreach (string header in (string[])["columns", "tokens", "mean square", "largest", "active %", "entropy bits", "as layer before"])
            table.AddColumn(new TableColumn(header).RightAligned());
        foreach (TableColumn column in table.Columns) column.PadRight(0);
        foreach (ImportanceRow r in result.Tensors)
            table.AddRow(Markup.Escape(r.Name.EndsWith(Ending, StringComparison.Ordinal) ? r.Name[..^Ending.Length] : r.Name), $"{r.Columns}", $"{r.Tokens}", $"{r.MeanSquare:G4}", $"{r.Largest:G4}",
                $"{100 * r.Active:F1}", $"{r.Entropy:F2}", r.CosineToLayerBefore is { } cosine ? $"{cosine:F3}" : "");
        terminal.Write(table);
        terminal.Markup($"  [bold]{Markup.Escape(result.Output)}[/]: {result.Tensors.Count} matrices over {result.Chunks} chunks of {result.Context} tokens, in {result.Seconds:F1} s");
    }
}

internal sealed record ImportanceResult(
    string Output, string Text, long Bytes, int Chunks, int Context, double Seconds, int UnreachedExperts, IReadOnlyList<string> Warnings, IReadOnlyList<ImportanceRow> Tensors)
{
    public static ImportanceResult Of(ImportanceMatrix matrix, QuantizationSource source, string output, double seconds)
    {
        var warnings = new List<string>();
        SourceTensor[] missing = [.. source.UnmeasuredBy(matrix)];
        if (missing.Length > 0)
            warnings.Add($"{missing.Length} matrices were not measured, for the decoder multiplies with no such matrix or no token reached it ({missing[0].Info.Name}, ...)");
        KeyValuePair<string, ColumnImportance>[] partly = [.. matrix.Tensors.Where(t => t.Value.Unreached > 0)];
        int unreached = partly.Sum(t => t.Value.Unreached);
        if (unreached > 0) warnings.Add($"no token reached {unreached} experts in {partly.Length} tensors ({partly[0].Key}, ...); a longer text may");
        return new ImportanceResult(
            output, matrix.Datasets[0], new FileInfo(output).Length, (int)matrix.Chunks, (int)matrix.ChunkTokens, seconds, unreached, warnings,
            [.. matrix.Tensors.Select(t => ImportanceRow.Of(t.Key, t.Value, matrix))]);
    }
}

/// <param name="Columns">Inputs of one matrix.</param>
/// <param name="Experts">Matrices in the tensor.</param>
/// <param name="Unreached">Those that saw no token.</param>
/// <param name="Tokens">Seen by the matrix that saw most.</param>
/// <param name="MeanSquare">Of all inputs.</param>
/// <param name="Largest">The mean square of the column where it is largest.</param>
/// <param name="Active">The share of columns whose mean square is above 0.00001.</param>
/// <param name="Entropy">Of the columns' shares of the sum, in bits; log2 of their number where all are alike.</param>
/// <param name="CosineToLayerBefore">How much like the same matrix of the layer before it is, or null.</param>
internal sealed record ImportanceRow(
    string Name, int Columns, int Experts, int Unreached, long Tokens, double MeanSquare, double Largest, double Active, double Entropy, double? CosineToLayerBefore)
{
    public static ImportanceRow Of(string name, ColumnImportance importance, ImportanceMatrix matrix)
    {
        ImportanceStatistics s = ImportanceStatistics.Of(importance);
        return new ImportanceRow(
            name, importance.Sums.Length / importance.Parts, importance.Parts, importance.Unreached, (long)importance.Tokens,
            s.Mean, s.Largest, s.Active, s.Entropy, matrix.LayerBefore(name) is { } before ? ImportanceStatistics.Cosine(importance, before) : null);
    }
}
