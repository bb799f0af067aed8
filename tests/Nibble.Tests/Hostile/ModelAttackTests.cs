using System.Text.Json.Nodes;
using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Threading;
using Nibble.Files;
using Nibble.Files.Gguf;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Tests.Decoder;
using Nibble.Tests.Files;
using Nibble.Tests.Golden;

namespace Nibble.Tests.Hostile;

/// <summary>Configurations that lie about their checkpoint, or are of models that are not computed.</summary>
public sealed class ModelAttackTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public ModelAttackTests() => GoldenCheckpoint.Copy("llama", _folder.Path);

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("hidden_size", "0", "hidden_size")]
    [InlineData("hidden_size", "-64", "hidden_size")]
    [InlineData("hidden_size", "64.5", "hidden_size")]
    [InlineData("hidden_size", "\"64\"", "hidden_size")]
    [InlineData("hidden_size", "1000000000", "width")]
    [InlineData("hidden_size", "4294967360", "hidden_size")]
    [InlineData("hidden_size", "96", "[320, 96]")]
    [InlineData("num_hidden_layers", "0", "num_hidden_layers")]
    [InlineData("num_hidden_layers", "1", "has no place for")]
    [InlineData("num_hidden_layers", "3", "model.layers.2")]
    [InlineData("num_hidden_layers", "1000000000", "tensors in all")]
    [InlineData("num_attention_heads", "0", "num_attention_heads")]
    [InlineData("num_attention_heads", "3", "does not divide")]
    [InlineData("num_attention_heads", "2000000000", "width")]
    [InlineData("num_key_value_heads", "3", "divide")]
    [InlineData("num_key_value_heads", "8", "divide")]
    [InlineData("num_key_value_heads", "0", "num_key_value_heads")]
    [InlineData("head_dim", "15", "even")]
    [InlineData("head_dim", "2000000000", "width")]
    [InlineData("head_dim", "8192", "at most 4096")]
    [InlineData("intermediate_size", "1000000", "mlp")]
    [InlineData("intermediate_size", "2147483647", "width")]
    [InlineData("vocab_size", "321", "[321, 64]")]
    [InlineData("vocab_size", "2147483647", "[2147483647, 64]")]
    [InlineData("max_position_embeddings", "0", "max_position_embeddings")]
    [InlineData("rms_norm_eps", "1e999", "finite")]
    [InlineData("rms_norm_eps", "0", "above 0")]
    [InlineData("rms_norm_eps", "null", null)]
    [InlineData("rms_norm_eps", "[]", "finite")]
    [InlineData("hidden_act", "\"tanh\"", "'tanh'")]
    [InlineData("hidden_act", "1", "text")]
    [InlineData("tie_word_embeddings", "1", "true or false")]
    [InlineData("tie_word_embeddings", "true", null)]
    [InlineData("attention_bias", "true", "q_proj.bias")]
    [InlineData("mlp_bias", "true", "gate_proj.bias")]
    [InlineData("model_type", "\"mamba\"", "'mamba'")]
    [InlineData("model_type", "null", "model_type")]
    [InlineData("attention_temperature", "0.5", "'attention_temperature'")]
    [InlineData("quantization_config", "{\"quant_method\":\"unheard-of\"}", "quantization_config")]
    [InlineData("rope_parameters", "{\"rope_type\":\"spiral\"}", "spiral")]
    [InlineData("rope_parameters", "{\"rope_type\":\"linear\"}", "factor")]
    [InlineData("rope_parameters", "{\"rope_type\":\"linear\",\"factor\":0}", "factor")]
    [InlineData("rope_parameters", "{\"rope_type\":\"linear\",\"factor\":2,\"twist\":3}", "rope_parameters.twist")]
    [InlineData("rope_parameters", "{\"rope_type\":\"llama3\",\"factor\":2,\"low_freq_factor\":4,\"high_freq_factor\":4}", "high_freq_factor")]
    [InlineData("rope_parameters", "{\"rope_type\":\"longrope\",\"short_factor\":[1],\"long_factor\":[1]}", "short_factor")]
    [InlineData("rope_parameters", "{\"rope_theta\":-1}", "rope_theta")]
    [InlineData("rope_parameters", "{\"partial_rotary_factor\":1.5}", "rotates")]
    [InlineData("rope_parameters", "[]", "object")]
    public void A_configuration_that_lies_is_refused_with_the_key_or_tensor(string key, string value, string? named)
    {
        string file = _folder.PathOf("config.json");
        JsonObject config = JsonNode.Parse(File.ReadAllText(file))!.AsObject();
        if (key == "num_attention_heads") config.Remove("head_dim");
        config[key] = 1;
        File.WriteAllText(file, config.ToJsonString().Replace($"\"{key}\":1", $"\"{key}\":{value}", StringComparison.Ordinal));
        if (named is null) ModelSource.Open(_folder.Path).Dispose();
        else Assert.Contains(named, Attack.Refused(_folder.Path, () => ModelSource.Open(_folder.Path).Dispose()), StringComparison.Ordinal);
    }

    /// <summary>Products of numbers that each are possible.</summary>
    [Theory]
    [InlineData("../odd/deepseek-v3-odd", "n_shared_experts", int.MaxValue)]
    [InlineData("../odd/deepseek-v3-odd", "qk_nope_head_dim", int.MaxValue)]
    [InlineData("../odd/deepseek-v3-odd", "qk_nope_head_dim", 1 << 30)]
    public void A_configuration_whose_sizes_pass_2_to_the_31_is_refused(string checkpoint, string key, int value)
    {
        using var folder = new TemporaryFolder();
        GoldenCheckpoint.Copy(checkpoint, folder.Path);
        string file = folder.PathOf("config.json");
        JsonObject config = JsonNode.Parse(File.ReadAllText(file))!.AsObject();
        config[key] = value;
        File.WriteAllText(file, config.ToJsonString());
        Assert.Contains("2^31", Attack.Refused(folder.Path, () => ModelSource.Open(folder.Path).Dispose()), StringComparison.Ordinal);
    }

    [Theory, InlineData(""), InlineData("{"), InlineData("[]"), InlineData("\0\0"), InlineData("{\"model_type\":\"llama\",\"model_type\":\"llama\"}")]
    public void A_configuration_that_is_no_object_is_refused(string text)
    {
        File.WriteAllText(_folder.PathOf("config.json"), text);
        Assert.Contains("JSON", Attack.Refused(_folder.Path, () => ModelSource.Open(_folder.Path).Dispose()), StringComparison.Ordinal);
    }

    [Fact]
    public void A_configuration_that_is_cut_short_is_told_the_line_and_the_whole_cause()
    {
        File.WriteAllText(_folder.PathOf("config.json"), "{\n  \"model_type\": \"llama\",\n");
        string message = Attack.Refused(_folder.Path, () => ModelSource.Open(_folder.Path).Dispose());
        Assert.Contains("line 3", message, StringComparison.Ordinal);
        Assert.Contains("reached end of data", message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_missing_configuration_is_named()
    {
        File.Delete(_folder.PathOf("config.json"));
        Assert.Contains("config.json", Attack.Refused(_folder.Path, () => ModelSource.Open(_folder.Path)), StringComparison.Ordinal);
    }

    [Theory, InlineData(float.NaN), InlineData(float.PositiveInfinity)]
    public void A_norm_that_is_not_finite_is_refused(float value)
    {
        string shard = Directory.GetFiles(_folder.Path, "*.safetensors").First(f => Holds(f, "model.norm.weight"));
        long at;
        using (TensorFile file = TensorFile.Open(shard)) at = Offset(file, "model.norm.weight");
        using (FileStream stream = File.OpenWrite(shard))
        {
            stream.Position = at;
            stream.Write(BitConverter.GetBytes(value));
        }
        using ModelSource source = ModelSource.Open(_folder.Path);
        using var pool = new WorkerPool(1);
        string message = Assert.Throws<UnusableInputException>(() => new DecoderModel(source, pool)).Message;
        Assert.Contains("'model.norm.weight'", message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("general.architecture", "mamba", "mamba")]
    [InlineData("llama.block_count", 1_000_000_000u, "llama.block_count")]
    [InlineData("llama.block_count", 3u, "blk.2")]
    [InlineData("llama.block_count", 1u, "blk.1")]
    [InlineData("llama.attention.head_count", 0u, "llama.attention.head_count")]
    [InlineData("llama.attention.head_count", uint.MaxValue, "llama.attention.head_count")]
    [InlineData("llama.attention.head_count_kv", 3u, "divide")]
    [InlineData("llama.attention.key_length", 1u << 30, "key_length")]
    [InlineData("llama.attention.value_length", 8u, "llama.attention.value_length")]
    [InlineData("llama.embedding_length", 96u, "[320, 96]")]
    [InlineData("llama.feed_forward_length", "many", "llama.feed_forward_length")]
    [InlineData("llama.attention.layer_norm_rms_epsilon", float.NaN, "finite")]
    [InlineData("llama.attention.clamp_kqv", 8f, "llama.attention.clamp_kqv")]
    [InlineData("llama.rope.dimension_count", 7u, "llama.rope.dimension_count")]
    [InlineData("llama.rope.freq_base", 0f, "llama.rope.freq_base")]
    [InlineData("llama.rope.scaling.factor", -2f, "llama.rope.scaling.factor")]
    [InlineData("llama.expert_count", 4u, "expert_used_count")]
    public void Metadata_that_lie_are_refused_with_the_key_or_tensor(string key, object value, string named)
    {
        string path = _folder.PathOf("model.gguf"), changed = _folder.PathOf("changed.gguf");
        using (ModelSource source = ModelSource.Open(_folder.Path)) GgufRoundTripTests.Write(source, path, _ => { });
        using (ModelSource source = ModelSource.Open(path)) GgufRoundTripTests.Write(source, changed, metadata => metadata.Set(key, value));
        string message = Attack.Refused(changed, () => ModelSource.Open(changed).Dispose());
        Assert.Contains(named, message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_token_outside_the_vocabulary_is_refused()
    {
        using ModelSource source = ModelSource.Open(_folder.Path);
        using var pool = new WorkerPool(1);
        using var model = new DecoderModel(source, pool);
        using KvCache cache = model.NewCache(4);
        Assert.Contains("320", Assert.Throws<UnusableInputException>(() => model.Forward([320], cache, [], LogitPositions.None)).Message, StringComparison.Ordinal);
        Assert.Contains("-1", Assert.Throws<UnusableInputException>(() => model.Forward([-1], cache, [], LogitPositions.None)).Message, StringComparison.Ordinal);
    }

    private static bool Holds(string path, string tensor)
    {
        using TensorFile file = TensorFile.Open(path);
        return file.Find(tensor) is not null;
    }

    /// <summary>Where a tensor's data begin in its file.</summary>
    private static unsafe long Offset(TensorFile file, string tensor)
    {
        byte* first = file.Data(file.Tensors.MinBy(t => (nint)file.Data(t))!);
        long header = new FileInfo(file.Path).Length - file.Tensors.Sum(t => t.Bytes);
        return header + (file.Data(file.Get(tensor)) - first);
    }
}
