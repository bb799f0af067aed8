using Nibble.Training.Quantizers;
using TorchSharp;
using static TorchSharp.torch;

namespace Nibble.Training.Model;

/// <summary>y = x Wᵀ + b.</summary>
/// <param name="input">Quantizes x first, or null.</param>
internal sealed class TorchLinear(TrainedMatrix matrix, Tensor? bias, ActivationQuantizer? input)
{
    /// <param name="x">[.., columns].</param>
    /// <returns>[.., rows].</returns>
    public Tensor Forward(Tensor x) => nn.functional.linear(input?.Forward(x) ?? x, matrix.Forward(), bias);
}
