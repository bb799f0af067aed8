using Nibble.Core.Kernels;

namespace Nibble.Models.Architectures;

/// <summary>gpt-oss: experts with clamped SwiGLU and biases, attention sinks, a window in every other layer.</summary>
internal sealed class GptOss : Architecture
{
    public override string Name => "gpt-oss";

    public override IReadOnlyList<string> ModelTypes => ["gpt_oss"];

    public override ModelConfig Configure(JsonConfig json)
    {
        ModelConfig config = LlamaLike.Configure(json, Name, theta: 150000, epsilon: 1e-5);
        bool bias = json.Flag("attention_bias", true);
        json.Expect("swiglu_limit", "7.0");
        json.Ignore("experts_per_token", "initial_context_length");
        IReadOnlyList<LayerConfig> layers = LlamaLike.Slide(json, config.Layers, json.Count("sliding_window", 128), l => l % 2 == 0);
        return config with
        {
            Layers = LlamaLike.Each(layers, (layer, _) => layer with { Experts = true }),
            Nonlinearity = Nonlinearity.ClampedSwiGlu,
            Sinks = true,
            QueryBias = bias,
            OutputBias = bias,
            Experts = new ExpertsConfig
            {
                Count = json.Count("num_local_experts"),
                Used = json.Count("num_experts_per_tok"),
                FeedForward = config.FeedForward,
                Score = RouterScore.SoftmaxOfChosen,
            },
        };
    }

    public override ModelConfig Configure(GgufConfig gguf) => base.Configure(gguf) with { Sinks = true };

    internal override GgufHabits Habits => new()
    {
        Period = 2,
        Nonlinearity = Nonlinearity.ClampedSwiGlu,
        Score = RouterScore.SoftmaxOfChosen,
        NormalizesExperts = false,
        TruncatesYarn = false,
    };

    public override IEnumerable<TensorName> Tensors(ModelConfig config)
    {
        const string Block = "model.layers.{l}.mlp.";
        return
        [
            .. LlamaLike.Ends(config),
            .. LlamaLike.Attention(config),
            new("blk.{l}.attn_norm", "model.layers.{l}.input_layernorm"),
            new("blk.{l}.ffn_norm", "model.layers.{l}.post_attention_layernorm") { Gguf = "blk.{l}.post_attention_norm" },
            new("blk.{l}.attn_sinks", "model.layers.{l}.self_attn.sinks") { Bare = true },
            new("blk.{l}.ffn_gate_inp", Block + "router") { Bias = Presence.Yes },
            new("blk.{l}.ffn_gate_exps", Block + "experts.gate_up_proj") { Bias = Presence.Yes, Bare = true, Transposed = true, Shares = 2, Order = RowOrders.Even },
            new("blk.{l}.ffn_up_exps", Block + "experts.gate_up_proj") { Bias = Presence.Yes, Bare = true, Transposed = true, Shares = 2, Order = RowOrders.Odd },
            new("blk.{l}.ffn_down_exps", Block + "experts.down_proj") { Bias = Presence.Yes, Bare = true, Transposed = true },
        ];
    }
}
