using Nibble.Core;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Tokenizers;
using Nibble.Quantization.Evaluation;
using Nibble.Quantization.Reports;

namespace Nibble.Cli.Commands;

/// <summary>The text that is measured with, and how it is cut.</summary>
internal sealed record ReportText(string Content, string? Path, int Context, int Chunks);

/// <summary>Opens one model at a time beside the reference, and measures it.</summary>
internal sealed class ReportMeasurement(Invocation run, WorkerPool pool, ReportText text, string? referencePath)
{
    /// <summary>Chunks whose hidden states are compared.</summary>
    private const int LayerChunks = 4;

    /// <summary>Finds what is unusable before any work is done: no weight is read.</summary>
    public void Check(string[] paths, string? tensor)
    {
        using ModelSource? reference = referencePath is null ? null : ModelSource.Open(referencePath);
        Tokenizer? referenceTokenizer = reference is null ? null : Tokenizer.Of(reference);
        foreach (string path in paths)
        {
            using ModelSource model = ModelSource.Open(path);
            model.CheckPredicts();
            EvalCommand.Cut(text.Content, (model, Tokenizer.Of(model)), reference is null ? null : (reference, referenceTokenizer!), text.Context, text.Chunks, text.Path);
            if (reference is null) continue;
            IReadOnlyList<TensorPair> pairs = TensorPair.Of(reference, model);
            if (tensor is not null && pairs.All(p => p.Name != tensor))
                throw new UnusableInputException($"--tensor {tensor}: {path} has no such matrix; there are {pairs[0].Name}, {pairs[^1].Name} and others");
        }
    }

    public Report Measure(string[] paths, string? tensor)
    {
        var models = new List<ReportModel>();
        EvaluationText? chunks = null;
        using LoadedModel? reference = Open(referencePath);
        foreach (string path in paths)
        {
            using LoadedModel model = Open(path)!;
            chunks = Cut(model, reference);
            EvaluationResult evaluation = Evaluate(model, reference, chunks);
            if (reference is not null && models.Count == 0)
                models.Add(ModelOf(reference, referencePath!, evaluation.Reference!, null, null) with { IsReference = true });
            ModelErrors? errors = reference is null ? null : Errors(reference.Source, model.Source, chunks, ModelPath.NameOf(path));
            models.Add(ModelOf(model, path, evaluation.Model, evaluation.Divergence, errors));
        }
        if (reference is not null) models = [.. WithHistograms(models, paths, reference.Source, tensor ?? MostToBlame(models))];
        int layerTokens = Math.Min(LayerChunks, chunks!.Chunks) * chunks.Context;
        return new Report(Path.GetFileName(text.Path) ?? "the bundled text", chunks.Context, chunks.Chunks, (long)chunks.Chunks * chunks.Scored, layerTokens, models);
    }

    private LoadedModel? Open(string? path) => path is null ? null : LoadedModel.Open(path, pool, run.Terminal);

    private EvaluationText Cut(LoadedModel model, LoadedModel? reference) =>
        EvalCommand.Cut(text.Content, model.Cutter, reference?.Cutter, text.Context, text.Chunks, text.Path);

    private EvaluationResult Evaluate(LoadedModel model, LoadedModel? reference, EvaluationText chunks)
    {
        using var evaluator = new Evaluator(model.Decoder, reference?.Decoder, chunks, pool);
        return run.Terminal.Measure($"evaluating {ModelPath.NameOf(model.Source.Path)}", chunks.Chunks, "chunks",
            meter => evaluator.Run(done => meter.Done = done, run.Cancellation));
    }

    private ModelErrors Errors(ModelSource reference, ModelSource model, EvaluationText chunks, string name)
    {
        IReadOnlyList<TensorPair> pairs = TensorPair.Of(reference, model);
        int[][] texts = [.. Enumerable.Range(0, Math.Min(LayerChunks, chunks.Chunks)).Select(chunks.Chunk)];
        using var errors = new LayerErrors(reference, model, pairs, texts, pool);
        return run.Terminal.Measure($"layers of {name}", model.Config.Layers.Count, "layers", meter =>
        {
            errors.Run(done => meter.Done = done, run.Cancellation);
            Dictionary<string, TensorOutputError> outputs = errors.Tensors.ToDictionary(t => t.Name);
            ReportTensor[] tensors = [.. pairs.Select(p => new ReportTensor(
                p.Name, p.Format, p.Bytes, WeightErrors.Measure(p, pool), outputs.GetValueOrDefault(p.Name)))];
            return new ModelErrors(errors.Layers, tensors);
        });
    }

    private static ReportModel ModelOf(LoadedModel model, string path, Perplexity perplexity, Divergence? divergence, ModelErrors? errors)
    {
        InspectResult inspected = InspectResult.Of(model.Source);
        IEnumerable<string> formats = model.Source.Tensors.Values.Where(t => !t.IsVector).GroupBy(t => t.Format.Name)
            .OrderByDescending(g => g.Sum(t => (double)t.Experts * t.Rows * t.Columns)).Select(g => g.Key);
        return new ReportModel(ModelPath.NameOf(path), false, [.. formats], inspected.Bytes, inspected.BitsPerWeight, perplexity, divergence, errors)
        {
            FileBytes = model.Source.File.Files.Sum(f => new FileInfo(f).Length),
            Curve = LossCurve.Of(model.Source),
        };
    }

    private static string MostToBlame(List<ReportModel> models) => models.SelectMany(m => m.Errors?.Tensors ?? [])
        .GroupBy(t => t.Name).MaxBy(g => g.Sum(t => t.Output?.Blame ?? 0))!.Key;

    private static IEnumerable<ReportModel> WithHistograms(List<ReportModel> models, string[] paths, ModelSource reference, string tensor)
    {
        yield return models[0];
        foreach ((ReportModel model, string path) in models.Skip(1).Zip(paths))
        {
            using ModelSource source = ModelSource.Open(path);
            yield return TensorPair.Of(reference, source).FirstOrDefault(p => p.Name == tensor) is { } pair ? model with { Histogram = WeightHistogram.Of(pair) } : model;
        }
    }
}
