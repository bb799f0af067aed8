using Nibble.Core.Kernels;
using Nibble.Files.Gguf;

namespace Nibble.Models.Architectures;

/// <summary>GPT-NeoX and Pythia: blocks in parallel, a part of each head rotated, queries, keys and values fused by head.</summary>
internal sealed class GptNeoX : Architecture
{
    public override string Name => "gptneox";

    public override IReadOnlyList<string> ModelTypes => ["gpt_neox"];

    public override string Prefix => "gpt_neox.";

    public override ModelConfig Configure(JsonConfig json)
    {
        double part = json.Positive("rotary_pct", 0.25), theta = json.Positive("rotary_emb_base", 10000);
        bool bias = json.Flag("attention_bias", true);
        ModelConfig config = LlamaLike.Configure(json, Name, theta: theta, rotaryPart: part, normKey: "layer_norm_eps", epsilon: 1e-5);
        return config with
        {
            KvHeads = config.Heads,
            Norm = NormKind.Layer,
            ParallelResidual = json.Flag("use_parallel_residual", true),
            Gated = false,
            QueryBias = bias,
            OutputBias = bias,
        };
    }

    public override bool Ignores(string tensor, ModelConfig config) =>
        base.Ignores(tensor, config) || tensor.EndsWith(".attention.bias", StringComparison.Ordinal) || tensor.EndsWith(".attention.masked_bias", StringComparison.Ordinal);

    public override ModelConfig Configure(GgufConfig gguf) =>
        base.Configure(gguf) with { ParallelResidual = gguf.Flag("use_parallel_residual", true) };

    public override void WriteMetadata(ModelConfig config, GgufMetadata metadata)
    {
        base.WriteMetadata(config, metadata);
        metadata.Set($"{Name}.use_parallel_residual", config.ParallelResidual);
    }

    internal override GgufHabits Habits => new() { Norm = NormKind.Layer, Nonlinearity = Nonlinearity.Gelu, Gated = false };

    public override IEnumerable<TensorName> Tensors(ModelConfig config) =>
    [
        new("token_embd", "gpt_neox.embed_in"),
        new("output_norm", "gpt_neox.final_layer_norm") { Bias = Presence.Yes },
        new("output", "embed_out") { Weight = LlamaLike.Where(!config.TiedHead) },
        new("blk.{l}.attn_norm", "gpt_neox.layers.{l}.input_layernorm") { Bias = Presence.Yes },
        new("blk.{l}.attn_qkv", "gpt_neox.layers.{l}.attention.query_key_value") { Bias = LlamaLike.Where(config.QueryBias), Order = RowOrders.QueryKeyValueByHead },
        new("blk.{l}.attn_output", "gpt_neox.layers.{l}.attention.dense") { Bias = LlamaLike.Where(config.OutputBias) },
        new("blk.{l}.ffn_norm", "gpt_neox.layers.{l}.post_attention_layernorm") { Bias = Presence.Yes },
        new("blk.{l}.ffn_up", "gpt_neox.layers.{l}.mlp.dense_h_to_4h") { Bias = Presence.Yes },
        new("blk.{l}.ffn_down", "gpt_neox.layers.{l}.mlp.dense_4h_to_h") { Bias = Presence.Yes },
    ];
}
