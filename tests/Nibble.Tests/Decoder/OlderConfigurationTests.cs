using System.Text.Json.Nodes;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Tests.Files;
using Nibble.Tests.Golden;

namespace Nibble.Tests.Decoder;

/// <summary>Keys as transformers wrote them before version 5.</summary>
public sealed class OlderConfigurationTests
{
    [Theory]
    [InlineData("llama", """{"rope_theta": 10000.0, "rope_scaling": null}""")]
    [InlineData("llama-linear", """{"rope_theta": 10000.0, "rope_scaling": {"type": "linear", "factor": 4.0}}""")]
    [InlineData("llama-yarn", """{"rope_theta": 10000.0, "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}}""")]
    [InlineData("llama-tied-bias-rope-llama3", """
        {"rope_theta": 500000.0, "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16}}
        """)]
    [InlineData("phi3-longrope", """
        {"rope_theta": 10000.0, "original_max_position_embeddings": 16, "rope_scaling": {"type": "longrope",
        "long_factor": [1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5], "short_factor": [1.0, 1.05, 1.1, 1.15, 1.2, 1.25, 1.3, 1.35]}}
        """)]
    [InlineData("gemma3", """{"rope_theta": 1000000.0, "rope_local_base_freq": 10000.0, "layer_types": null, "sliding_window_pattern": 6, "_sliding_window_pattern": null}""")]
    [InlineData("gemma2", """{"rope_theta": 10000.0, "layer_types": null}""")]
    [InlineData("gpt-neox", """{"rotary_pct": 0.25, "rotary_emb_base": 10000}""")]
    [InlineData("stablelm", """{"partial_rotary_factor": 0.25, "rope_theta": 10000, "rope_scaling": null}""")]
    [InlineData("glm4", """{"partial_rotary_factor": 0.5, "rope_theta": 10000.0}""")]
    [InlineData("cohere2", """{"rope_theta": 10000.0, "layer_types": null, "sliding_window_pattern": 4}""")]
    [InlineData("smollm3", """{"rope_theta": 2000000.0, "no_rope_layers": null}""")]
    [InlineData("qwen3-moe", """{"rope_theta": 10000.0, "num_local_experts": null, "num_experts": 8}""")]
    [InlineData("gpt-oss", """
        {"rope_theta": 150000, "rope_scaling": {"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": false,
        "original_max_position_embeddings": 4096}, "layer_types": null, "swiglu_limit": 7.0, "experts_per_token": 2, "initial_context_length": 4096}
        """)]
    public void Older_keys_mean_the_same(string name, string keys)
    {
        string folder = GoldenCheckpoint.Folder(name);
        using var copy = new TemporaryFolder();
        JsonObject config = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "config.json")))!.AsObject();
        config.Remove("rope_parameters");
        foreach ((string key, JsonNode? value) in JsonNode.Parse(keys)!.AsObject()) config[key] = value?.DeepClone();
        File.WriteAllText(copy.PathOf("config.json"), config.ToJsonString());
        foreach (string file in Directory.EnumerateFiles(folder, "*.safetensors*")) File.CreateSymbolicLink(copy.PathOf(Path.GetFileName(file)), file);
        var golden = GoldenArchitecture.Read(folder);
        using ModelSource source = ModelSource.Open(copy.Path);
        using var pool = new WorkerPool(1);
        using var model = new DecoderModel(source, pool);
        float[] logits = GoldenArchitectureTests.AllLogits(model, golden.InputIds);
        int vocabulary = model.Config.Vocabulary;
        for (int i = 0; i < golden.Positions.Length; i++)
            GoldenArchitectureTests.AssertClose(golden.Logits[i], logits.AsSpan(golden.Positions[i] * vocabulary, vocabulary), $"{name}, position {golden.Positions[i]}");
    }
}
