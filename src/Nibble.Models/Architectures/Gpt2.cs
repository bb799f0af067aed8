using Nibble.Core.Kernels;
using Nibble.Files.Gguf;

namespace Nibble.Models.Architectures;

/// <summary>GPT-2: learned positions, layer norm, biases, matrices stored with inputs as rows.</summary>
internal sealed class Gpt2 : Architecture
{
    public override string Name => "gpt2";

    public override IReadOnlyList<string> ModelTypes => ["gpt2"];

    public override string Prefix => "transformer.";

    public override ModelConfig Configure(JsonConfig json)
    {
        int hidden = json.Count("n_embd"), heads = json.Count("n_head"), positions = json.Count("n_positions");
        int headSize = LlamaLike.HeadSize(json, hidden, heads), layers = json.Layers("n_layer");
        float scale = json.Flag("scale_attn_weights", true) ? 1 / MathF.Sqrt(headSize) : 1;
        bool byLayer = json.Flag("scale_attn_by_inverse_layer_idx", false);
        json.Ignore("n_ctx", "reorder_and_upcast_attn", "summary_activation", "summary_proj_to_labels", "summary_type", "summary_use_proj");
        return new ModelConfig
        {
            Architecture = Name,
            Hidden = hidden,
            FeedForward = json.Count("n_inner", checked(4 * hidden)),
            Heads = heads,
            KvHeads = heads,
            HeadSize = headSize,
            Vocabulary = json.Count("vocab_size"),
            ContextLength = positions,
            LearnedPositions = positions,
            Layers = [.. Enumerable.Range(0, layers).Select(l => new LayerConfig { AttentionScale = byLayer ? scale / (l + 1) : scale })],
            Norm = NormKind.Layer,
            NormEpsilon = (float)json.Positive("layer_norm_epsilon", 1e-5),
            Nonlinearity = LlamaLike.Activation(json, "activation_function", "gelu_new"),
            Gated = false,
            TiedHead = json.Flag("tie_word_embeddings", true),
        };
    }

    public override bool Ignores(string tensor, ModelConfig config) =>
        base.Ignores(tensor, config) || tensor.EndsWith(".attn.bias", StringComparison.Ordinal) || tensor.EndsWith(".attn.masked_bias", StringComparison.Ordinal);

    public override ModelConfig Configure(GgufConfig gguf)
    {
        ModelConfig config = base.Configure(gguf);
        return config with
        {
            LearnedPositions = config.ContextLength,
            Layers = LlamaLike.Each(config.Layers, (layer, _) => layer with { Rotary = null }),
        };
    }

    public override void WriteMetadata(ModelConfig config, GgufMetadata metadata)
    {
        if (!LlamaLike.HasUsualScale(config)) throw Unwritable(metadata, "scales attention by the layer");
        base.WriteMetadata(config, metadata);
    }

    internal override GgufHabits Habits => new() { Norm = NormKind.Layer, Nonlinearity = Nonlinearity.GeluTanh, Gated = false };

    public override IEnumerable<TensorName> Tensors(ModelConfig config) =>
    [
        new("token_embd", "transformer.wte"),
        new("position_embd", "transformer.wpe"),
        new("output_norm", "transformer.ln_f") { Bias = Presence.Yes },
        new("output", "lm_head") { Weight = LlamaLike.Where(!config.TiedHead) },
        new("blk.{l}.attn_norm", "transformer.h.{l}.ln_1") { Bias = Presence.Yes },
        new("blk.{l}.attn_qkv", "transformer.h.{l}.attn.c_attn") { Bias = Presence.Yes, Transposed = true },
        new("blk.{l}.attn_output", "transformer.h.{l}.attn.c_proj") { Bias = Presence.Yes, Transposed = true },
        new("blk.{l}.ffn_norm", "transformer.h.{l}.ln_2") { Bias = Presence.Yes },
        new("blk.{l}.ffn_up", "transformer.h.{l}.mlp.c_fc") { Bias = Presence.Yes, Transposed = true },
        new("blk.{l}.ffn_down", "transformer.h.{l}.mlp.c_proj") { Bias = Presence.Yes, Transposed = true },
    ];
}
