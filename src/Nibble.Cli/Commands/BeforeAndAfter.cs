using System.Diagnostics;
using System.Text.Json.Serialization;
using Nibble.Core;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Tokenizers;
using Nibble.Quantization.Evaluation;

namespace Nibble.Cli.Commands;

/// <summary>A model before and after quantizing, measured side by side.</summary>
internal sealed record BeforeAndAfter(
    MeasuredModel Before, MeasuredModel After, KldResult Kld, [property: JsonPropertyName("top1_agreement")] double Top1Agreement,
    long Tokens, int Threads, double Seconds)
{
    private const int LongestContext = 512, Prompt = 16, Generate = 64, Repeat = 3;

    /// <summary>Refuses a model that cannot be measured before any work is done for it.</summary>
    /// <exception cref="UnusableInputException">It is an encoder or has no tokenizer, or its context is longer than the text.</exception>
    public static void Check(string model, int? limit)
    {
        using ModelSource source = ModelSource.Open(model);
        source.CheckPredicts();
        _ = EvaluationText.Of(TextFile.Read(null), Tokenizer.Of(source), ContextOf(source), limit ?? int.MaxValue);
    }

    public static BeforeAndAfter Measure(string before, string after, int? limit, Invocation run, WorkerPool pool)
    {
        long started = Stopwatch.GetTimestamp();
        string text = TextFile.Read(null);
        using LoadedModel reference = LoadedModel.Open(before, pool, run.Terminal);
        using LoadedModel model = LoadedModel.Open(after, pool, run.Terminal);
        EvaluationText chunks = EvalCommand.Cut(text, model.Cutter, reference.Cutter, ContextOf(reference.Source), limit ?? int.MaxValue);
        using var evaluator = new Evaluator(model.Decoder, reference.Decoder, chunks, pool);
        EvaluationResult evaluation = run.Terminal.Measure("measuring", chunks.Chunks, "chunks",
            meter => evaluator.Run(done => meter.Done = done, run.Cancellation));
        return new BeforeAndAfter(
            MeasuredModel.Of(reference, before, evaluation.Reference!, run), MeasuredModel.Of(model, after, evaluation.Model, run),
            KldResult.Of(evaluation.Divergence)!, evaluation.Divergence!.Top1Agreement, evaluation.Model.Tokens, pool.Workers,
            Stopwatch.GetElapsedTime(started).TotalSeconds);
    }

    private static int ContextOf(ModelSource source) => Math.Min(LongestContext, source.Config.ContextLength);

    internal static double DecodeSpeed(LoadedModel model, Invocation run) => BenchCommand.Median(
        [.. new SpeedTest(model.Decoder, Prompt, Generate).Run(Repeat, _ => { }, run.Cancellation).Select(s => s.Decode)]);
}

/// <summary>One side of the comparison.</summary>
internal sealed record MeasuredModel(
    string Name, long Bytes, double BitsPerWeight, double Perplexity, double PerplexityError, double DecodeTokensPerSecond)
{
    public static MeasuredModel Of(LoadedModel model, string path, Perplexity perplexity, Invocation run)
    {
        InspectResult inspected = InspectResult.Of(model.Source);
        return new MeasuredModel(
            Path.GetFileName(Path.TrimEndingDirectorySeparator(path)), inspected.Bytes, inspected.BitsPerWeight,
            perplexity.Value, perplexity.Error, BeforeAndAfter.DecodeSpeed(model, run));
    }
}
