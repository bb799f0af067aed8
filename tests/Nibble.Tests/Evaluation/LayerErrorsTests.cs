using System.Text.Json;
using Nibble.Core;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Quantization.Evaluation;
using Nibble.Tests.Cli;
using Nibble.Tests.Files;
using Nibble.Tests.Golden;

namespace Nibble.Tests.Evaluation;

public class LayerErrorsTests
{
    private static readonly int[][] Texts = [[.. Enumerable.Range(0, 40).Select(i => i * 97 % 4096)], [.. Enumerable.Range(0, 25).Select(i => i * 31 % 4096)]];

    [Fact]
    public void An_identical_model_has_no_error_anywhere()
    {
        (IReadOnlyList<LayerError> layers, IReadOnlyList<TensorOutputError> tensors) = Measure(EmbeddedModel.Folder);
        Assert.All(layers, l => Assert.Equal((0, 1, 0), (l.Relative, l.Cosine, l.Own)));
        Assert.All(tensors, t => Assert.Equal((0, 0), (t.Output, t.Blame)));
    }

    /// <summary>GGUF turns queries and keys by neighbours, the folder by halves: their rows must be matched.</summary>
    [Fact]
    public void The_same_weights_in_another_file_have_no_error_but_for_the_order_of_additions()
    {
        using var folder = new TemporaryFolder();
        string path = Quantize(folder, "BF16");
        (IReadOnlyList<LayerError> layers, IReadOnlyList<TensorOutputError> tensors) = Measure(path);
        Assert.All(layers, l => Assert.InRange(l.Relative, 0, 1e-5));
        Assert.All(tensors, t => Assert.Equal(0, t.Output));
        Assert.Equal(0, tensors.Single(t => t.Name == "blk.0.attn_q").Blame);
    }

    [Fact]
    public void Errors_of_all_tensors_add_up_through_the_layers()
    {
        using var folder = new TemporaryFolder();
        (IReadOnlyList<LayerError> layers, IReadOnlyList<TensorOutputError> tensors) = Measure(Quantize(folder, "Q4_0", "--pure"));
        using ModelSource source = ModelSource.Open(EmbeddedModel.Folder);
        Assert.Equal([.. Enumerable.Range(-1, source.Config.Layers.Count + 1)], layers.Select(l => l.Layer));
        Assert.Equal(1, tensors.Sum(t => t.Blame), 1e-9);
        Assert.All(tensors, t => Assert.InRange(t.Output, 0.01, 0.3));
        // What came before and the layer's own.
        Assert.All(layers.Skip(1), l => Assert.True(l.Own > 0.001 && l.Relative > l.Own, $"{l}"));
        Assert.All(layers, l => Assert.InRange(l.Cosine, 1 - l.Relative * l.Relative, 1 - l.Relative * l.Relative / 8));
    }

    [Fact]
    public void The_one_tensor_that_was_rounded_is_the_one_to_blame()
    {
        using var folder = new TemporaryFolder();
        (IReadOnlyList<LayerError> layers, IReadOnlyList<TensorOutputError> tensors) =
            Measure(Quantize(folder, "BF16", "--override", "blk\\.2\\.attn_q\\.weight=Q4_0"));
        Assert.Equal("blk.2.attn_q", tensors.MaxBy(t => t.Blame)!.Name);
        Assert.InRange(tensors.Single(t => t.Name == "blk.2.attn_q").Blame, 0.999, 1);
        Assert.InRange(layers[2].Relative, 0, 1e-5);
        Assert.InRange(layers[3].Own, 1e-4, 1);
    }

    [Fact]
    public void Experts_are_one_tensor()
    {
        string path = GoldenCheckpoint.Folder("mixtral");
        using ModelSource source = ModelSource.Open(path);
        using var pool = new WorkerPool(1);
        using var errors = new LayerErrors(source, source, TensorPair.Of(source, source), [[1, 2, 3, 4, 5]], pool);
        errors.Run(null, TestContext.Current.CancellationToken);
        Assert.Contains(errors.Tensors, t => t.Name == "blk.0.ffn_up_exps");
        Assert.DoesNotContain(errors.Tensors, t => t.Name.Contains('[', StringComparison.Ordinal));
    }

    [Fact]
    public void Models_that_are_not_made_alike_are_refused()
    {
        using ModelSource a = ModelSource.Open(EmbeddedModel.Folder), b = ModelSource.Open(GoldenCheckpoint.Folder("llama"));
        Assert.Contains("made from", Assert.Throws<UnusableInputException>(() => TensorPair.Of(a, b)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Statistics_of_quantize_are_those_of_the_file_it_wrote()
    {
        using var folder = new TemporaryFolder();
        string path = folder.PathOf("model.gguf");
        JsonElement written = CommandRun.Of("quantize", EmbeddedModel.Folder, "--to", "Q3_K_M", "-o", path, "--json").Json;
        using ModelSource reference = ModelSource.Open(EmbeddedModel.Folder), model = ModelSource.Open(path);
        using var pool = new WorkerPool(2);
        foreach (TensorPair pair in TensorPair.Of(reference, model))
        {
            JsonElement row = written.GetProperty("tensors").EnumerateArray().Single(t => t.GetProperty("name").GetString() == pair.Name + ".weight");
            TensorError error = WeightErrors.Measure(pair, pool);
            Assert.Equal(error.RelativeMse, row.GetProperty("relative_mse").GetDouble(), 1e-6 * error.RelativeMse);
            Assert.Equal(error.MaxError, row.GetProperty("max_error").GetDouble(), 1e-6);
            Assert.Equal(error.ClippedShare, row.GetProperty("clipped_share").GetDouble());
            Assert.Equal(error.CodesUsed, row.GetProperty("codes_used").GetDouble());
            Assert.Equal(error.CodeEntropy!.Value, row.GetProperty("code_entropy").GetDouble(), 1e-9);
            Assert.InRange(error.CodeEntropy!.Value, 1.5, 8);
        }
    }

    private static string Quantize(TemporaryFolder folder, string format, params string[] options)
    {
        string path = folder.PathOf("model.gguf");
        _ = CommandRun.Of(["quantize", EmbeddedModel.Folder, "--to", format, "-o", path, "--json", .. options]).Json;
        return path;
    }

    private static (IReadOnlyList<LayerError> Layers, IReadOnlyList<TensorOutputError> Tensors) Measure(string path)
    {
        using ModelSource reference = ModelSource.Open(EmbeddedModel.Folder), model = ModelSource.Open(path);
        using var pool = new WorkerPool(2);
        using var errors = new LayerErrors(reference, model, TensorPair.Of(reference, model), Texts, pool);
        errors.Run(null, TestContext.Current.CancellationToken);
        return (errors.Layers, errors.Tensors);
    }
}
