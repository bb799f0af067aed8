using TorchSharp;
using static TorchSharp.torch;

namespace Nibble.Training.Quantizers;

/// <summary>
/// The inputs of a linear layer in N bits, cut to [-clip, clip] by a bound that is learned: PACT (Choi et al.,
/// arXiv:1805.06085) for inputs of either sign. Beyond the bound the gradient goes to the bound, within it to the input.
/// </summary>
internal sealed class ClippedInput : InputQuantizer
{
    private readonly int _top;

    /// <param name="bits">2 to 8.</param>
    public ClippedInput(string name, int bits)
    {
        _top = (1 << (bits - 1)) - 1;
        FirstBound = zeros(1).DetachFromDisposeScope();
        Factor = new Trainable(name, ones(1, requires_grad: true).DetachFromDisposeScope(), TrainableKind.Scale);
    }

    /// <summary>The bound as a factor of <see cref="FirstBound"/>.</summary>
    public Trainable Factor { get; }

    /// <summary>The largest magnitude of the first batch; 0 before it was seen. Part of a run's state.</summary>
    public Tensor FirstBound { get; }

    public override ClippedInput Learned => this;

    /// <summary>The bound as it is now.</summary>
    public float Bound => FirstBound.item<float>() * Factor.Value.item<float>();

    public override Tensor Forward(Tensor x)
    {
        if (FirstBound.item<float>() == 0)
            using (no_grad()) FirstBound.copy_(x.detach().abs().max().clamp_min(1e-6).view(1));
        Tensor clip = FirstBound * Factor.Value;
        Tensor free = x.detach();
        Tensor inside = free.abs().le(clip.detach()).to(float32);
        // Within: x. Beyond: the bound with x's sign.
        Tensor cut = x * inside + clip * free.sign() * (1 - inside);
        Tensor step = clip.detach() / _top;
        return StraightThrough.Of(cut, (cut.detach() / step).round() * step);
    }

    public override void Dispose()
    {
        Factor.Value.Dispose();
        FirstBound.Dispose();
        base.Dispose();
    }
}
