using System.Text.Json;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Quantization.Calibration;
using Nibble.Tests.Cli;
using Nibble.Tests.Decoder;
using Nibble.Tests.Files;
using Nibble.Tests.Golden;

namespace Nibble.Tests.Methods;

/// <summary>Scales that are folded into a model leave what it computes alone.</summary>
public sealed class FoldingTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Theory, MemberData(nameof(GoldenArchitectureTests.Decoders), MemberType = typeof(GoldenArchitectureTests))]
    public void Folded_scales_change_no_logits(string name)
    {
        string folder = GoldenCheckpoint.Folder(name);
        var golden = GoldenArchitecture.Read(folder);
        using ModelSource source = ModelSource.Open(folder);
        using var pool = new WorkerPool(1);
        using var model = new DecoderModel(source, pool);
        float[] before = GoldenArchitectureTests.AllLogits(model, golden.InputIds);
        var random = new Random(1);
        int folded = 0;
        for (int layer = 0; layer < model.LayerCount; layer++)
            foreach (FoldableInput input in FoldableInput.Of(model, layer))
            {
                float[] scales = [.. Enumerable.Range(0, input.Readers[0].Weight.Columns).Select(_ => (float)Math.Exp(2 * random.NextDouble() - 1))];
                input.Apply(model, input.Shared(scales), new FoldedScales());
                folded++;
            }
        GoldenArchitectureTests.AssertClose(before, GoldenArchitectureTests.AllLogits(model, golden.InputIds), name);
        Assert.Equal(Foldable(name, model), folded);
    }

    /// <summary>
    /// How many inputs of the checkpoint let themselves be scaled, of four a layer: biases of values or of the upper matrix stand in the
    /// way, nonlinearities without a gate, experts, latent attention, and norms after a block (OLMo 2); in Cohere 2 attention and
    /// feed-forward read one input.
    /// </summary>
    private static int Foldable(string name, DecoderModel model) => name switch
    {
        "deepseek-v3" => 2,
        "gpt-oss" => 1 * model.LayerCount,
        "gpt2" or "gpt-neox" or "starcoder2" or "mixtral" or "qwen3-moe" or "olmo2" => 2 * model.LayerCount,
        "qwen2" or "stablelm" or "cohere2" or "glm4" or "llama-tied-bias-rope-llama3" => 3 * model.LayerCount,
        _ => 4 * model.LayerCount,
    };

    [Theory, InlineData("m.gguf", "Q3_K_S"), InlineData("m", "Linear3")]
    public void Activation_aware_scales_predict_better_than_nearest_rounding(string output, string recipe)
    {
        string nearest = _folder.PathOf("n" + output), made = _folder.PathOf(output);
        CommandRun.Of("quantize", EmbeddedModel.Folder, "-o", nearest, "--to", recipe);
        JsonElement result = CommandRun.Of("quantize", EmbeddedModel.Folder, "-o", made, "--to", recipe, "--method", "awq", "--calibration", EmbeddedModel.Text, "--calibration-chunks", "6", "--json").Json;
        Assert.Empty(result.GetProperty("warnings").EnumerateArray());
        Assert.All(result.GetProperty("tensors").EnumerateArray().Where(t => t.GetProperty("name").GetString()!.Contains("ffn_norm", StringComparison.Ordinal)), norm =>
        {
            Assert.Equal("awq", norm.GetProperty("method").GetString());
            Assert.Equal("F32", norm.GetProperty("format").GetString());
        });
        Assert.All(result.GetProperty("tensors").EnumerateArray(), t => Assert.InRange(t.GetProperty("relative_mse").GetDouble(), 0, 0.1));
        Assert.InRange(Divergence(made), 0, 0.97 * Divergence(nearest));
    }

    private static double Divergence(string model) =>
        CommandRun.Of("eval", model, "--text", EmbeddedModel.Text, "--chunks", "4", "--context", "256", "--reference", EmbeddedModel.Folder, "--json")
            .Json.GetProperty("kld").GetProperty("mean").GetDouble();

    public void Dispose() => _folder.Dispose();
}
