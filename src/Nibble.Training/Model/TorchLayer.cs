using Nibble.Core;
using Nibble.Core.Kernels;
using Nibble.Models;
using TorchSharp;
using static TorchSharp.torch;

namespace Nibble.Training.Model;

/// <summary>Attention and feed-forward with their norms and residual connections, as the decoder orders them.</summary>
internal sealed class TorchLayer
{
    private readonly ModelConfig _config;
    private readonly TorchAttention _attention;
    private readonly TorchLinear? _gate;
    private readonly TorchLinear _up, _down;
    private readonly TorchNorm? _attentionNorm, _attentionPostNorm, _feedForwardNorm, _feedForwardPostNorm;

    public TorchLayer(ModelParts parts, int layer, TorchRotary? rotary)
    {
        _config = parts.Config;
        string block = $"blk.{layer}.";
        _attentionNorm = parts.Norm($"{block}attn_norm");
        _attentionPostNorm = parts.Norm($"{block}post_attention_norm");
        _feedForwardNorm = parts.Norm($"{block}ffn_norm");
        _feedForwardPostNorm = parts.Norm($"{block}post_ffw_norm");
        _attention = new TorchAttention(parts, layer, rotary);
        _gate = parts.LinearOrNull($"{block}ffn_gate");
        _up = parts.Linear($"{block}ffn_up");
        _down = parts.Linear($"{block}ffn_down");
    }

    /// <param name="x">[batch, tokens, hidden].</param>
    public Tensor Forward(Tensor x)
    {
        Tensor input = Normal(_attentionNorm, x);
        Tensor attended = Normal(_attentionPostNorm, _attention.Forward(input));
        if (_config.ParallelResidual)
        {
            Tensor side = _feedForwardNorm is null ? input : _feedForwardNorm.Forward(x);
            return Add(Add(x, attended), Normal(_feedForwardPostNorm, FeedForward(side)));
        }
        x = Add(x, attended);
        return Add(x, Normal(_feedForwardPostNorm, FeedForward(Normal(_feedForwardNorm, x))));
    }

    private Tensor FeedForward(Tensor x)
    {
        Tensor up = _up.Forward(x);
        return _down.Forward(_gate is null ? Apply(_config.Nonlinearity, up) : Apply(_config.Nonlinearity, _gate.Forward(x)) * up);
    }

    private static Tensor Normal(TorchNorm? norm, Tensor x) => norm?.Forward(x) ?? x;

    private Tensor Add(Tensor stream, Tensor term) => stream + (_config.ResidualScale == 1 ? term : term * _config.ResidualScale);

    private static Tensor Apply(Nonlinearity f, Tensor x) => f switch
    {
        Nonlinearity.Silu => nn.functional.silu(x),
        Nonlinearity.Gelu => nn.functional.gelu(x),
        Nonlinearity.GeluTanh => 0.5 * x * (1 + (Math.Sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)).tanh()),
        Nonlinearity.GeluSigmoid => x * (1.702 * x).sigmoid(),
        Nonlinearity.Relu => x.relu(),
        Nonlinearity.ReluSquared => x.relu().square(),
        _ => throw new UnusableInputException($"training does not know the nonlinearity {f}"),
    };
}
