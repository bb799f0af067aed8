using Nibble.Core.Kernels;
using Nibble.Files.Gguf;

namespace Nibble.Models.Architectures;

/// <summary>Gemma 2: norms of 1 + w around both blocks, capped scores and logits, a window in every other layer.</summary>
internal class Gemma2 : Architecture
{
    public override string Name => "gemma2";

    public override IReadOnlyList<string> ModelTypes => ["gemma2"];

    public override ModelConfig Configure(JsonConfig json)
    {
        ModelConfig config = LlamaLike.Configure(json, Name, tied: true);
        bool bias = json.Flag("attention_bias", false);
        float scale = (float)(1 / Math.Sqrt(json.Positive("query_pre_attn_scalar", 256)));
        return config with
        {
            Layers = LlamaLike.Slide(json, LlamaLike.Each(config.Layers, (layer, _) => layer with { AttentionScale = scale }),
                json.Count("sliding_window", 4096), l => l % 2 == 0),
            Nonlinearity = LlamaLike.Activation(json, "hidden_activation", "gelu_pytorch_tanh"),
            AttentionSoftCap = (float)json.Number("attn_logit_softcapping", 0),
            LogitSoftCap = (float)json.Number("final_logit_softcapping", 0),
            EmbeddingScale = MathF.Sqrt(config.Hidden),
            QueryBias = bias,
            OutputBias = bias,
        };
    }

    public override ModelConfig Configure(GgufConfig gguf)
    {
        ModelConfig config = base.Configure(gguf);
        // llama.cpp knows the largest by its layers, and that its scale is not that of its heads.
        float scale = gguf.Number("attention.scale", 0);
        if (scale == 0) scale = 1 / MathF.Sqrt(config.Layers.Count == LargestLayers ? (float)config.Hidden / config.Heads : config.HeadSize);
        return config with
        {
            EmbeddingScale = MathF.Sqrt(config.Hidden),
            Layers = LlamaLike.Each(config.Layers, (layer, _) => layer with { AttentionScale = scale }),
        };
    }

    public override void WriteMetadata(ModelConfig config, GgufMetadata metadata)
    {
        base.WriteMetadata(config, metadata);
        if (!LlamaLike.HasUsualScale(config)) metadata.Set($"{Name}.attention.scale", config.Layers[0].AttentionScale);
    }

    /// <summary>The layers of the 27B.</summary>
    private protected virtual int LargestLayers => 46;

    internal override GgufHabits Habits => new() { Period = 2, Nonlinearity = Nonlinearity.GeluTanh };

    public override IEnumerable<TensorName> Tensors(ModelConfig config) =>
    [
        .. LlamaLike.Ends(config, normOffset: 1),
        .. LlamaLike.Attention(config),
        .. LlamaLike.FeedForward(config),
        new("blk.{l}.attn_norm", "model.layers.{l}.input_layernorm") { Offset = 1 },
        new("blk.{l}.post_attention_norm", "model.layers.{l}.post_attention_layernorm") { Offset = 1 },
        new("blk.{l}.ffn_norm", "model.layers.{l}.pre_feedforward_layernorm") { Offset = 1 },
        new("blk.{l}.post_ffw_norm", "model.layers.{l}.post_feedforward_layernorm") { Offset = 1 },
    ];
}
