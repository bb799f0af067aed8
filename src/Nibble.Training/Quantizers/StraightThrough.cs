using TorchSharp;
using static TorchSharp.torch;

namespace Nibble.Training.Quantizers;

/// <summary>The straight-through estimator: one value forward, the gradient of another backward.</summary>
internal static class StraightThrough
{
    /// <summary>Forward exactly <paramref name="stored"/>; backward the identity to <paramref name="exact"/>.</summary>
    /// <remarks>
    /// stored + (exact - exact) would do, were it not for infinities; the difference of a number and itself is zero, so
    /// nothing is rounded twice.
    /// </remarks>
    public static Tensor Of(Tensor exact, Tensor stored) => stored.detach() + (exact - exact.detach());

    /// <summary>The same value, its gradient multiplied: the scaling of LSQ (arXiv:1902.08153, section 2.2).</summary>
    public static Tensor ScaleGradient(Tensor value, double factor) => Of(value * factor, value);
}
