using Nibble.Core.Kernels;
using Nibble.Files.Gguf;

namespace Nibble.Models.Architectures;

/// <summary>Command R7B and A: blocks in parallel under one norm; three layers with a window and rotation to one with neither.</summary>
internal sealed class Cohere2 : Architecture
{
    public override string Name => "cohere2";

    public override IReadOnlyList<string> ModelTypes => ["cohere2"];

    public override ModelConfig Configure(JsonConfig json)
    {
        ModelConfig config = LlamaLike.Configure(json, Name, tied: true, interleaved: true, normKey: "layer_norm_eps", epsilon: 1e-5);
        int every = json.Count("layer_switch", json.Count("sliding_window_pattern", json.Count("_sliding_window_pattern", 4)));
        int window = json.Count("sliding_window", 4096);
        bool bias = json.Flag("attention_bias", false);
        json.Expect("order_of_interleaved_layers", "\"local_attn_first\"");
        json.Expect("position_embedding_type", "\"rope_gptj\"");
        json.Expect("use_embedding_sharing", "true");
        json.Expect("use_gated_activation", "true");
        json.Expect("use_parallel_block", "true");
        json.Expect("rotary_pct", "1.0");
        json.Ignore("cache_implementation", "use_parallel_embedding");
        return config with
        {
            Layers = LlamaLike.Each(LlamaLike.Slide(json, config.Layers, window, l => (l + 1) % every != 0),
                (layer, _) => layer.Window > 0 ? layer : layer with { Rotary = null }),
            Norm = NormKind.Layer,
            ParallelResidual = true,
            LogitScale = (float)json.Positive("logit_scale", 0.0625),
            QueryBias = bias,
            OutputBias = bias,
        };
    }

    public override ModelConfig Configure(GgufConfig gguf)
    {
        ModelConfig config = base.Configure(gguf);
        return config with
        {
            ParallelResidual = true,
            LogitScale = gguf.Positive("logit_scale"),
            Layers = LlamaLike.Each(config.Layers, (layer, _) => layer.Window > 0 ? layer : layer with { Rotary = null }),
        };
    }

    public override void WriteMetadata(ModelConfig config, GgufMetadata metadata)
    {
        base.WriteMetadata(config, metadata);
        metadata.Set($"{Name}.logit_scale", config.LogitScale);
    }

    internal override GgufHabits Habits => new() { Period = 4, Interleaved = true, Norm = NormKind.Layer };

    public override IEnumerable<TensorName> Tensors(ModelConfig config) =>
    [
        .. LlamaLike.Ends(config),
        .. LlamaLike.Attention(config),
        .. LlamaLike.FeedForward(config),
        new("blk.{l}.attn_norm", "model.layers.{l}.input_layernorm"),
    ];
}
