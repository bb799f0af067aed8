using System.CommandLine;
using System.Diagnostics;
using System.Text.Json.Serialization;
using Nibble.Core;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Models.Tokenizers;
using Nibble.Quantization.Evaluation;
using Spectre.Console;

namespace Nibble.Cli.Commands;

/// <summary>Measures how well a model predicts a text, and how far it lies from a reference.</summary>
internal sealed class EvalCommand : Verb
{
    private readonly Argument<string?> _model = ModelArgument();
    private readonly Option<string?> _text = new("--text") { Description = "A text file. [default: the bundled excerpts of old novels]", HelpName = "FILE" };
    private readonly Option<int> _context = new("--context") { Description = "Tokens a chunk; the second half of each is scored.", HelpName = "N", DefaultValueFactory = _ => 512 };
    private readonly Option<int?> _chunks = new("--chunks") { Description = "Score only the first N chunks. [default: all]", HelpName = "N" };
    private readonly Option<string?> _reference = new("--reference") { Description = "The model it was made from: also measure the Kullback-Leibler divergence from it.", HelpName = "MODEL" };

    private readonly DecoderSettings _decoder = new();

    public EvalCommand() : base("eval", "Measure perplexity as llama.cpp counts it, and the divergence from a reference model.",
        "nibble eval", "nibble eval model-Q4_0.gguf --reference model --text wiki.txt --chunks 80", "nibble eval model.gguf --text wiki.txt --json",
        "nibble eval model-Q4_0.gguf --activations int8 --kv q4_0+hadamard")
    {
        Add(_model);
        AddOptions([_text, _context, _chunks, _reference, .. _decoder.Options]);
    }

    protected override void Execute(Invocation run)
    {
        if (run.Get(_chunks) is < 1) throw new UnusableInputException("--chunks: score at least 1 chunk");
        string path = ModelPath.Resolve(run.Get(_model));
        string? referencePath = run.Get(_reference) is { } reference ? ModelPath.Resolve(reference) : null;
        string text = TextFile.Read(run.Get(_text));
        DecoderOptions decoder = _decoder.Read(run);
        using WorkerPool pool = run.NewPool();
        using LoadedModel model = LoadedModel.Open(path, pool, run.Terminal, decoder);
        _decoder.Calibrate(run, model.Decoder, model.Source, decoder);
        using LoadedModel? other = referencePath is null ? null : LoadedModel.Open(referencePath, pool, run.Terminal);

        long started = Stopwatch.GetTimestamp();
        EvaluationText chunks = Cut(text, model.Cutter, other?.Cutter, run.Get(_context), run.Get(_chunks) ?? int.MaxValue, run.Get(_text));
        using var evaluator = new Evaluator(model.Decoder, other?.Decoder, chunks, pool);
        EvaluationResult evaluation = run.Terminal.Measure("evaluating", chunks.Chunks, "chunks",
            meter => evaluator.Run(done => meter.Done = done, run.Cancellation));
        EvalResult result = EvalResult.Of(evaluation, chunks, decoder, evaluator.CacheBytes, Stopwatch.GetElapsedTime(started).TotalSeconds);
        run.Print(result, ResultJson.Written.EvalResult, r => Print(r, run.Terminal));
    }

    /// <summary>Cuts the text with the model's tokenizer, after checking that the reference's gives the same tokens.</summary>
    public static EvaluationText Cut(
        string text, (ModelSource Source, Tokenizer Tokenizer) model, (ModelSource Source, Tokenizer Tokenizer)? reference, int context, int limit, string? name = null)
    {
        var chunks = EvaluationText.Of(text, model.Tokenizer, context, limit, name);
        if (reference is not { } original) return chunks;
        var others = EvaluationText.Of(text, original.Tokenizer, context, limit, name);
        if (others.Chunks != chunks.Chunks || !Enumerable.Range(0, chunks.Chunks).All(i => others.Chunk(i).SequenceEqual(chunks.Chunk(i))))
            throw new UnusableInputException(
                $"{model.Source.Path} and {original.Source.Path} cut the text into different tokens; a model can only be compared with what it was made from");
        return chunks;
    }

    private static void Print(EvalResult r, Terminal terminal)
    {
        Grid grid = new Grid().AddColumn(new GridColumn().NoWrap()).AddColumn();
        grid.AddRow("perplexity", $"{r.Perplexity:F4} ± {r.PerplexityError:F4}");
        grid.AddRow("negative log-likelihood", $"{r.MeanNll:F5} nats a token");
        grid.AddRow("scored", $"{r.Tokens} tokens, {r.Chunks} chunks of {r.Context}, {r.Seconds:F1} s");
        grid.AddRow("cache", $"{r.Kv}, {Quantity.Bytes(r.KvBytes)}");
        if (r.Activations is not null) grid.AddRow("activations", r.Activations);
        if (r is { Kld: { } kld, Top1Agreement: { } top1 })
        {
            grid.AddRow("reference perplexity", $"{r.ReferencePerplexity:F4}");
            grid.AddRow("KL divergence", $"mean {kld.Mean:F6}  median {kld.Median:F6}  99 % {kld.P99:F4}  99.9 % {kld.P999:F4}  max {kld.Max:F3} nats");
            grid.AddRow("same likeliest token", $"{100 * top1:F2} %");
        }
        terminal.Write(grid);
    }
}

internal sealed record EvalResult(
    double Perplexity, double PerplexityError, double MeanNll, long Tokens, int Chunks, int Context, double Seconds,
    double? ReferencePerplexity, KldResult? Kld,
    [property: JsonPropertyName("top1_agreement")] double? Top1Agreement, string? Activations, string Kv, long KvBytes)
{
    public static EvalResult Of(EvaluationResult evaluation, EvaluationText text, DecoderOptions decoder, long cacheBytes, double seconds) => new(
        evaluation.Model.Value, evaluation.Model.Error, evaluation.Model.MeanNll, evaluation.Model.Tokens, text.Chunks, text.Context, seconds,
        evaluation.Reference?.Value, KldResult.Of(evaluation.Divergence), evaluation.Divergence?.Top1Agreement,
        DecoderSettings.NameOfActivations(decoder), DecoderSettings.NameOfCache(decoder), cacheBytes);
}

internal sealed record KldResult(double Mean, double Median, double P99, [property: JsonPropertyName("p99_9")] double P999, double Max)
{
    public static KldResult? Of(Divergence? d) => d is null ? null : new KldResult(d.Mean, d.Median, d.P99, d.P999, d.Max);
}
