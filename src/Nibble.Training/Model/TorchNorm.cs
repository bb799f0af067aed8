using Nibble.Core.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace Nibble.Training.Model;

/// <summary>RMS or layer normalization over the last dimension.</summary>
internal sealed class TorchNorm(NormKind kind, float epsilon, Tensor weight, Tensor? bias)
{
    public long Width => weight.numel();

    public Tensor Forward(Tensor x) => Forward(x, weight.numel());

    /// <summary>Normalizes vectors of another width than the weight's: heads that each have weights of their own.</summary>
    /// <param name="x">[.., heads, width], with heads * width weights.</param>
    public Tensor Forward(Tensor x, long width)
    {
        if (kind == NormKind.Layer) x = x - x.mean([-1], keepdim: true);
        Tensor normal = x * (x.square().mean([-1], keepdim: true) + epsilon).rsqrt();
        Tensor scaled = normal * (width == Width ? weight : weight.view(-1, width));
        return bias is null ? scaled : scaled + (width == Width ? bias : bias.view(-1, width));
    }
}
