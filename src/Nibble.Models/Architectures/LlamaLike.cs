using Nibble.Core;
using Nibble.Core.Kernels;

namespace Nibble.Models.Architectures;

/// <summary>The keys and names that most decoders took over from Llama.</summary>
internal static class LlamaLike
{
    /// <summary>A dense decoder with RMS norm before each block, all layers alike, by the usual keys.</summary>
    /// <remarks>The optional arguments are what keys are worth when they are not written, and keys that are named otherwise.</remarks>
    public static ModelConfig Configure(JsonConfig json, string architecture, bool tied = false, double theta = 10000, double? rotaryPart = null,
        bool interleaved = false, string normKey = "rms_norm_eps", double epsilon = 1e-6, string activation = "silu",
        int? headSize = null)
    {
        int hidden = json.Count("hidden_size"), heads = json.Count("num_attention_heads");
        int width = headSize ?? HeadSize(json, hidden, heads), context = json.Count("max_position_embeddings");
        RotaryConfig rotary = RopeParameters.Read(json, width, context, theta, rotaryPart, interleaved);
        var layer = new LayerConfig { Rotary = rotary, AttentionScale = 1 / MathF.Sqrt(width) };
        return new ModelConfig
        {
            Architecture = architecture,
            Hidden = hidden,
            FeedForward = json.Count("intermediate_size"),
            Heads = heads,
            KvHeads = json.Count("num_key_value_heads", heads),
            HeadSize = width,
            Vocabulary = json.Count("vocab_size"),
            ContextLength = context,
            Layers = Alike(layer, json.Layers("num_hidden_layers")),
            NormEpsilon = (float)json.Positive(normKey, epsilon),
            Nonlinearity = Activation(json, "hidden_act", activation),
            TiedHead = json.Flag("tie_word_embeddings", tied),
        };
    }

    /// <summary>The width of a head: head_dim, or the width shared among the heads.</summary>
    public static int HeadSize(JsonConfig json, int hidden, int heads)
    {
        if (json.Has("head_dim")) return json.Count("head_dim");
        if (hidden % heads != 0)
            throw json.Error("num_attention_heads", $"is {heads}, which does not divide the width, {hidden}, and there is no head_dim");
        return hidden / heads;
    }

    /// <summary>The nonlinearity by Hugging Face's name.</summary>
    public static Nonlinearity Activation(JsonConfig json, string key, string fallback = "silu")
    {
        string name = json.Text(key) ?? fallback;
        return name switch
        {
            "silu" or "swish" => Nonlinearity.Silu,
            "gelu" => Nonlinearity.Gelu,
            "gelu_new" or "gelu_fast" or "gelu_pytorch_tanh" => Nonlinearity.GeluTanh,
            "quick_gelu" => Nonlinearity.GeluSigmoid,
            "relu" => Nonlinearity.Relu,
            "relu2" => Nonlinearity.ReluSquared,
            _ => throw json.Error(key, $"is {Files.Quote.Name(name)}; known are silu, gelu, gelu_new, gelu_pytorch_tanh, quick_gelu, relu and relu2"),
        };
    }

    /// <summary>The same configuration for every layer.</summary>
    public static IReadOnlyList<LayerConfig> Alike(LayerConfig layer, int count) => [.. Enumerable.Repeat(layer, count)];

    /// <summary>Every layer changed.</summary>
    public static IReadOnlyList<LayerConfig> Each(IReadOnlyList<LayerConfig> layers, Func<LayerConfig, int, LayerConfig> change) =>
        [.. layers.Select(change)];

    /// <summary>
    /// The layers with a sliding window where <c>layer_types</c> says so; without that list, where the fallback says so.
    /// </summary>
    public static IReadOnlyList<LayerConfig> Slide(JsonConfig json, IReadOnlyList<LayerConfig> layers, int window, Predicate<int> slides)
    {
        IReadOnlyList<string>? types = LayerTypes(json, layers.Count);
        return [.. layers.Select((layer, l) => (types is null ? slides(l) : types[l] == "sliding_attention") ? layer with { Window = window } : layer)];
    }

    /// <summary>layer_types, checked, or null.</summary>
    public static IReadOnlyList<string>? LayerTypes(JsonConfig json, int layers)
    {
        IReadOnlyList<string>? types = json.Texts("layer_types");
        if (types is null) return null;
        if (types.Count != layers) throw json.Error("layer_types", $"has {types.Count} entries for {layers} layers");
        if (types.FirstOrDefault(t => t is not ("full_attention" or "sliding_attention")) is { } unknown)
            throw json.Error("layer_types", $"holds {Files.Quote.Name(unknown)}; known are full_attention and sliding_attention");
        return types;
    }

    /// <summary>Qwen's keys: the window counts if use_sliding_window is set, from layer max_window_layers on.</summary>
    public static IReadOnlyList<LayerConfig> SlideQwen(JsonConfig json, IReadOnlyList<LayerConfig> layers)
    {
        int window = json.CountOrZero("sliding_window", 0), first = json.CountOrZero("max_window_layers", 0);
        bool slides = json.Flag("use_sliding_window", false);
        return Slide(json, layers, slides ? window : 0, l => l >= first);
    }

    /// <summary>True if attention is scaled by the root of a head's width, as it is where a GGUF file says nothing.</summary>
    public static bool HasUsualScale(ModelConfig config) =>
        config.Layers.All(l => MathF.Abs(l.AttentionScale * MathF.Sqrt(config.HeadSize) - 1) < 1e-6f);

    /// <summary>Yes or no as configured; maybe where the checkpoint decides.</summary>
    public static Presence Where(bool? present) => present switch { true => Presence.Yes, false => Presence.No, null => Presence.Maybe };

    /// <summary>Embedding, final norm and head.</summary>
    public static IEnumerable<TensorName> Ends(ModelConfig config, Presence normBias = Presence.No, float normOffset = 0) =>
    [
        new("token_embd", "model.embed_tokens"),
        new("output_norm", "model.norm") { Bias = normBias, Offset = normOffset },
        new("output", "lm_head") { Weight = Where(!config.TiedHead) },
    ];

    /// <summary>Separate projections of queries, keys and values.</summary>
    public static IEnumerable<TensorName> Attention(ModelConfig config, RowOrder? ggufOrder = null) =>
    [
        new("blk.{l}.attn_q", "model.layers.{l}.self_attn.q_proj") { Bias = Where(config.QueryBias), GgufOrder = ggufOrder },
        new("blk.{l}.attn_k", "model.layers.{l}.self_attn.k_proj") { Bias = Where(config.QueryBias), GgufOrder = ggufOrder },
        new("blk.{l}.attn_v", "model.layers.{l}.self_attn.v_proj") { Bias = Where(config.QueryBias) },
        new("blk.{l}.attn_output", "model.layers.{l}.self_attn.o_proj") { Bias = Where(config.OutputBias) },
    ];

    /// <summary>A norm before each block.</summary>
    public static IEnumerable<TensorName> Norms(Presence bias = Presence.No) =>
    [
        new("blk.{l}.attn_norm", "model.layers.{l}.input_layernorm") { Bias = bias },
        new("blk.{l}.ffn_norm", "model.layers.{l}.post_attention_layernorm") { Bias = bias },
    ];

    /// <summary>Norms on queries and keys.</summary>
    public static IEnumerable<TensorName> QueryKeyNorms(float offset = 0) =>
    [
        new("blk.{l}.attn_q_norm", "model.layers.{l}.self_attn.q_norm") { Offset = offset },
        new("blk.{l}.attn_k_norm", "model.layers.{l}.self_attn.k_norm") { Offset = offset },
    ];

    /// <summary>Separate projections of gate and up.</summary>
    public static IEnumerable<TensorName> FeedForward(ModelConfig config) =>
    [
        new("blk.{l}.ffn_gate", "model.layers.{l}.mlp.gate_proj") { Bias = Where(config.FeedForwardBias), Layers = l => !config.Layers[l].Experts },
        new("blk.{l}.ffn_up", "model.layers.{l}.mlp.up_proj") { Bias = Where(config.FeedForwardBias), Layers = l => !config.Layers[l].Experts },
        new("blk.{l}.ffn_down", "model.layers.{l}.mlp.down_proj") { Bias = Where(config.FeedForwardBias), Layers = l => !config.Layers[l].Experts },
    ];

    /// <summary>A router and experts that each have tensors of their own.</summary>
    /// <param name="block">The block's name in a layer: <c>mlp</c>.</param>
    public static IEnumerable<TensorName> Experts(ModelConfig config, string block = "mlp", string gate = "gate_proj", string up = "up_proj",
        string down = "down_proj") => config.Experts is null ? [] :
    [
        new("blk.{l}.ffn_gate_inp", $"model.layers.{{l}}.{block}.gate") { Layers = l => config.Layers[l].Experts },
        new("blk.{l}.ffn_gate_exps", $"model.layers.{{l}}.{block}.experts.{{e}}.{gate}") { Layers = l => config.Layers[l].Experts },
        new("blk.{l}.ffn_up_exps", $"model.layers.{{l}}.{block}.experts.{{e}}.{up}") { Layers = l => config.Layers[l].Experts },
        new("blk.{l}.ffn_down_exps", $"model.layers.{{l}}.{block}.experts.{{e}}.{down}") { Layers = l => config.Layers[l].Experts },
    ];
}
