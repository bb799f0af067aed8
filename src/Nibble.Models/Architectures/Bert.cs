using Nibble.Core.Kernels;
using Nibble.Files.Gguf;

namespace Nibble.Models.Architectures;

/// <summary>BERT: an encoder with learned positions and token types, and norms after the additions.</summary>
internal sealed class Bert : Architecture
{
    public override string Name => "bert";

    public override IReadOnlyList<string> ModelTypes => ["bert"];

    public override string Prefix => "bert.";

    public override ModelConfig Configure(JsonConfig json)
    {
        int hidden = json.Count("hidden_size"), heads = json.Count("num_attention_heads"), positions = json.Count("max_position_embeddings");
        int headSize = LlamaLike.HeadSize(json, hidden, heads);
        json.Expect("position_embedding_type", "\"absolute\"");
        json.Ignore("tie_word_embeddings", "num_key_value_heads");
        return new ModelConfig
        {
            Architecture = Name,
            Hidden = hidden,
            FeedForward = json.Count("intermediate_size"),
            Heads = heads,
            KvHeads = heads,
            HeadSize = headSize,
            Vocabulary = json.Count("vocab_size"),
            ContextLength = positions,
            LearnedPositions = positions,
            TokenTypes = json.Count("type_vocab_size", 2),
            Layers = LlamaLike.Alike(new LayerConfig { AttentionScale = 1 / MathF.Sqrt(headSize) }, json.Layers("num_hidden_layers")),
            Norm = NormKind.Layer,
            NormEpsilon = (float)json.Positive("layer_norm_eps", 1e-12),
            Nonlinearity = LlamaLike.Activation(json, "hidden_act", "gelu"),
            Gated = false,
            Causal = false,
        };
    }

    /// <summary>Heads for pretraining and classification are not computed.</summary>
    public override bool Ignores(string tensor, ModelConfig config) =>
        tensor.StartsWith("cls.", StringComparison.Ordinal) || tensor.Contains("pooler.", StringComparison.Ordinal)
        || tensor.EndsWith("embeddings.position_ids", StringComparison.Ordinal);

    public override ModelConfig Configure(GgufConfig gguf)
    {
        ModelConfig config = base.Configure(gguf);
        if (gguf.Flag("attention.causal", false)) throw gguf.Error("attention.causal", "is true; BERT is an encoder");
        return config with
        {
            Causal = false,
            TiedHead = false,
            LearnedPositions = config.ContextLength,
            TokenTypes = gguf.RowsOf("token_types.weight"),
            Layers = LlamaLike.Each(config.Layers, (layer, _) => layer with { Rotary = null }),
        };
    }

    public override void WriteMetadata(ModelConfig config, GgufMetadata metadata)
    {
        base.WriteMetadata(config, metadata);
        metadata.Set($"{Name}.attention.causal", false);
        metadata.Set("tokenizer.ggml.token_type_count", (uint)config.TokenTypes);
    }

    internal override GgufHabits Habits => new() { Norm = NormKind.Layer, Nonlinearity = Nonlinearity.Gelu, Gated = false };

    public override IEnumerable<TensorName> Tensors(ModelConfig config)
    {
        const string Layer = "bert.encoder.layer.{l}.";
        return
        [
            new("token_embd", "bert.embeddings.word_embeddings"),
            new("position_embd", "bert.embeddings.position_embeddings"),
            new("token_types", "bert.embeddings.token_type_embeddings"),
            new("token_embd_norm", "bert.embeddings.LayerNorm") { Bias = Presence.Yes },
            new("blk.{l}.attn_q", Layer + "attention.self.query") { Bias = Presence.Yes },
            new("blk.{l}.attn_k", Layer + "attention.self.key") { Bias = Presence.Yes },
            new("blk.{l}.attn_v", Layer + "attention.self.value") { Bias = Presence.Yes },
            new("blk.{l}.attn_output", Layer + "attention.output.dense") { Bias = Presence.Yes },
            new("blk.{l}.attn_output_norm", Layer + "attention.output.LayerNorm") { Bias = Presence.Yes },
            new("blk.{l}.ffn_up", Layer + "intermediate.dense") { Bias = Presence.Yes },
            new("blk.{l}.ffn_down", Layer + "output.dense") { Bias = Presence.Yes },
            new("blk.{l}.layer_output_norm", Layer + "output.LayerNorm") { Bias = Presence.Yes },
        ];
    }
}
