using Nibble.Core.Kernels;
using Nibble.Files.Gguf;

namespace Nibble.Models.Architectures;

/// <summary>ModernBERT: an encoder built like a decoder, with a window to both sides in two layers of three.</summary>
internal sealed class ModernBert : Architecture
{
    public override string Name => "modern-bert";

    public override IReadOnlyList<string> ModelTypes => ["modernbert"];

    public override ModelConfig Configure(JsonConfig json)
    {
        json.Ignore("num_key_value_heads", "tie_word_embeddings", "classifier_activation", "classifier_bias", "classifier_pooling", "decoder_bias",
            "deterministic_flash_attn", "reference_compile", "repad_logits_with_grad", "sparse_pred_ignore_index", "sparse_prediction");
        int hidden = json.Count("hidden_size"), heads = json.Count("num_attention_heads"), context = json.Count("max_position_embeddings");
        int headSize = LlamaLike.HeadSize(json, hidden, heads), layers = json.Layers("num_hidden_layers");
        double globalTheta = json.Positive("global_rope_theta", 160000), localTheta = json.Positive("local_rope_theta", 10000);
        RotaryConfig global = RopeParameters.Read(json, headSize, context, globalTheta, layerType: "full_attention");
        RotaryConfig local = RopeParameters.Read(json, headSize, context, localTheta, layerType: "sliding_attention");
        int every = json.Count("global_attn_every_n_layers", 3), window = json.Count("local_attention", 128) / 2 + 1;
        var layer = new LayerConfig { Rotary = global, AttentionScale = 1 / MathF.Sqrt(headSize) };
        json.Expect("position_embedding_type", "\"absolute\"");
        bool bias = json.Flag("attention_bias", false), normBias = json.Flag("norm_bias", false);
        return new ModelConfig
        {
            Architecture = Name,
            Hidden = hidden,
            FeedForward = json.Count("intermediate_size"),
            Heads = heads,
            KvHeads = heads,
            HeadSize = headSize,
            Vocabulary = json.Count("vocab_size"),
            ContextLength = context,
            Layers = LlamaLike.Each(LlamaLike.Slide(json, LlamaLike.Alike(layer, layers), window, l => l % every != 0),
                (l, _) => l.Window > 0 ? l with { Rotary = local } : l),
            Norm = NormKind.Layer,
            NormEpsilon = (float)json.Positive("norm_eps", 1e-5),
            NormBias = normBias,
            Nonlinearity = LlamaLike.Activation(json, "hidden_activation", "gelu"),
            Causal = false,
            QueryBias = bias,
            OutputBias = bias,
            FeedForwardBias = json.Flag("mlp_bias", false),
        };
    }

    /// <summary>The heads for masked words and classification are not computed.</summary>
    public override bool Ignores(string tensor, ModelConfig config) =>
        tensor.StartsWith("head.", StringComparison.Ordinal) || tensor.StartsWith("decoder.", StringComparison.Ordinal)
        || tensor.StartsWith("classifier.", StringComparison.Ordinal);

    public override ModelConfig Configure(GgufConfig gguf)
    {
        ModelConfig config = base.Configure(gguf);
        if (gguf.Flag("attention.causal", false)) throw gguf.Error("attention.causal", "is true; ModernBERT is an encoder");
        float theta = gguf.Positive("rope.freq_base_swa", 10000);
        return config with
        {
            Causal = false,
            TiedHead = false,
            Layers = LlamaLike.Each(config.Layers, (layer, _) => layer.Window == 0 ? layer
                : layer with { Window = layer.Window / 2 + 1, Rotary = layer.Rotary! with { Theta = theta } }),
        };
    }

    public override void WriteMetadata(ModelConfig config, GgufMetadata metadata)
    {
        base.WriteMetadata(config, metadata);
        metadata.Set($"{Name}.attention.causal", false);
        if (config.Layers.FirstOrDefault(l => l.Window > 0) is not { Rotary: { } local } layer) return;
        metadata.Set($"{Name}.attention.sliding_window", (uint)(2 * (layer.Window - 1)));
        metadata.Set($"{Name}.rope.freq_base_swa", (float)local.Theta);
    }

    internal override GgufHabits Habits => new() { Period = 3, FullFirst = true, Norm = NormKind.Layer, Nonlinearity = Nonlinearity.Gelu };

    public override IEnumerable<TensorName> Tensors(ModelConfig config)
    {
        Presence normBias = LlamaLike.Where(config.NormBias), feedForwardBias = LlamaLike.Where(config.FeedForwardBias);
        return
        [
            new("token_embd", "model.embeddings.tok_embeddings"),
            new("token_embd_norm", "model.embeddings.norm") { Bias = normBias },
            new("output_norm", "model.final_norm") { Bias = normBias },
            new("blk.{l}.attn_norm", "model.layers.{l}.attn_norm") { Bias = normBias, Layers = l => l > 0 },
            new("blk.{l}.attn_qkv", "model.layers.{l}.attn.Wqkv") { Bias = LlamaLike.Where(config.QueryBias) },
            new("blk.{l}.attn_output", "model.layers.{l}.attn.Wo") { Bias = LlamaLike.Where(config.OutputBias) },
            new("blk.{l}.ffn_norm", "model.layers.{l}.mlp_norm") { Bias = normBias },
            new("blk.{l}.ffn_gate_up", "model.layers.{l}.mlp.Wi") { Gguf = "blk.{l}.ffn_up", Bias = feedForwardBias },
            new("blk.{l}.ffn_down", "model.layers.{l}.mlp.Wo") { Bias = feedForwardBias },
        ];
    }
}
