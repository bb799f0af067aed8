namespace Nibble.Models.Architectures;

/// <summary>GLM-4 (0414): norms before and after each block, half of each head rotated in neighbouring pairs.</summary>
internal sealed class Glm4 : Architecture
{
    public override string Name => "glm4";

    public override IReadOnlyList<string> ModelTypes => ["glm4"];

    public override ModelConfig Configure(JsonConfig json) =>
        LlamaLike.Configure(json, Name, interleaved: true, rotaryPart: 0.5) with { QueryBias = json.Flag("attention_bias", false) };

    internal override GgufHabits Habits => new() { Interleaved = true };

    public override IEnumerable<TensorName> Tensors(ModelConfig config) =>
    [
        .. LlamaLike.Ends(config),
        .. LlamaLike.Norms(),
        .. LlamaLike.Attention(config),
        new("blk.{l}.post_attention_norm", "model.layers.{l}.post_self_attn_layernorm"),
        new("blk.{l}.post_ffw_norm", "model.layers.{l}.post_mlp_layernorm"),
        new("blk.{l}.ffn_gate_up", "model.layers.{l}.mlp.gate_up_proj") { Gguf = "blk.{l}.ffn_up" },
        new("blk.{l}.ffn_down", "model.layers.{l}.mlp.down_proj"),
    ];
}
