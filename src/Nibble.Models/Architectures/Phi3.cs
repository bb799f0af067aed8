namespace Nibble.Models.Architectures;

/// <summary>Phi-3 and 4: Llama with fused projections; LongRoPE for long contexts.</summary>
internal sealed class Phi3 : Architecture
{
    public override string Name => "phi3";

    public override IReadOnlyList<string> ModelTypes => ["phi3"];

    public override ModelConfig Configure(JsonConfig json)
    {
        ModelConfig config = LlamaLike.Configure(json, Name, epsilon: 1e-5, rotaryPart: 1);
        json.Expect("attention_bias", "false");
        return config with { Layers = LlamaLike.Slide(json, config.Layers, json.CountOrZero("sliding_window", 0), _ => true) };
    }

    internal override GgufHabits Habits => new() { Period = 0 };

    public override IEnumerable<TensorName> Tensors(ModelConfig config) =>
    [
        .. LlamaLike.Ends(config),
        .. LlamaLike.Norms(),
        new("blk.{l}.attn_qkv", "model.layers.{l}.self_attn.qkv_proj"),
        new("blk.{l}.attn_output", "model.layers.{l}.self_attn.o_proj"),
        new("blk.{l}.ffn_gate_up", "model.layers.{l}.mlp.gate_up_proj") { Gguf = "blk.{l}.ffn_up" },
        new("blk.{l}.ffn_down", "model.layers.{l}.mlp.down_proj"),
    ];
}
