using Nibble.Core.Kernels;

namespace Nibble.Models.Architectures;

/// <summary>StableLM 2 and 3B: layer norm, a part of each head rotated, perhaps a norm of its own for each head, perhaps blocks in parallel.</summary>
internal sealed class StableLm : Architecture
{
    public override string Name => "stablelm";

    public override IReadOnlyList<string> ModelTypes => ["stablelm", "stablelm_epoch"];

    public override ModelConfig Configure(JsonConfig json)
    {
        double part = json.Positive("rope_pct", 0.25);
        ModelConfig config = LlamaLike.Configure(json, Name, rotaryPart: part, normKey: "layer_norm_eps", epsilon: 1e-5);
        return config with
        {
            Norm = NormKind.Layer,
            ParallelResidual = json.Flag("use_parallel_residual", false),
            QueryKeyNorm = json.Flag("qk_layernorm", false) ? QueryKeyNorm.PerHead : QueryKeyNorm.None,
            QueryBias = json.Flag("use_qkv_bias", false),
        };
    }

    public override ModelConfig Configure(GgufConfig gguf) => base.Configure(gguf) with
    {
        ParallelResidual = !gguf.HasTensor("blk.0.ffn_norm.weight"),
        QueryKeyNorm = gguf.HasTensor("blk.0.attn_q_norm.weight") ? QueryKeyNorm.PerHead : QueryKeyNorm.None,
    };

    internal override GgufHabits Habits => new() { Norm = NormKind.Layer };

    public override IEnumerable<TensorName> Tensors(ModelConfig config)
    {
        Presence headNorms = LlamaLike.Where(config.QueryKeyNorm == QueryKeyNorm.PerHead), second = LlamaLike.Where(!config.ParallelResidual);
        return
        [
            .. LlamaLike.Ends(config, Presence.Yes),
            .. LlamaLike.Attention(config),
            .. LlamaLike.FeedForward(config),
            new("blk.{l}.attn_q_norm", "model.layers.{l}.self_attn.q_layernorm.norms.{h}") { Weight = headNorms },
            new("blk.{l}.attn_k_norm", "model.layers.{l}.self_attn.k_layernorm.norms.{h}") { Weight = headNorms },
            new("blk.{l}.attn_norm", "model.layers.{l}.input_layernorm") { Bias = Presence.Yes },
            new("blk.{l}.ffn_norm", "model.layers.{l}.post_attention_layernorm") { Weight = second, Bias = second },
        ];
    }
}
