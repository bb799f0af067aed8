using Nibble.Core.Kernels;

namespace Nibble.Models.Architectures;

/// <summary>StarCoder2: layer norm, biases, a feed-forward block without gate, a sliding window.</summary>
internal sealed class Starcoder2 : Architecture
{
    public override string Name => "starcoder2";

    public override IReadOnlyList<string> ModelTypes => ["starcoder2"];

    public override ModelConfig Configure(JsonConfig json)
    {
        ModelConfig config = LlamaLike.Configure(json, Name, tied: true, normKey: "norm_epsilon", epsilon: 1e-5, activation: "gelu_pytorch_tanh");
        bool bias = json.Flag("use_bias", true);
        json.Expect("norm_type", "\"layer_norm\"");
        json.Expect("mlp_type", "\"default\"");
        return config with
        {
            Layers = LlamaLike.Slide(json, config.Layers, json.CountOrZero("sliding_window", 0), _ => true),
            Norm = NormKind.Layer,
            Gated = false,
            QueryBias = bias,
            OutputBias = bias,
            FeedForwardBias = bias,
        };
    }

    internal override GgufHabits Habits => new() { Period = 0, Norm = NormKind.Layer, Nonlinearity = Nonlinearity.GeluTanh, Gated = false };

    public override IEnumerable<TensorName> Tensors(ModelConfig config) =>
    [
        .. LlamaLike.Ends(config, Presence.Yes),
        .. LlamaLike.Norms(Presence.Yes),
        .. LlamaLike.Attention(config),
        new("blk.{l}.ffn_up", "model.layers.{l}.mlp.c_fc") { Bias = LlamaLike.Where(config.FeedForwardBias) },
        new("blk.{l}.ffn_down", "model.layers.{l}.mlp.c_proj") { Bias = LlamaLike.Where(config.FeedForwardBias) },
    ];
}
