using Nibble.Training.Quantizers;
using TorchSharp;
using static TorchSharp.torch;

namespace Nibble.Training.Model;

/// <summary>y = x Wᵀ + b.</summary>
/// <param name="input">Quantizes x first, or null.</param>
internal sealed class TorchLinear(TrainedMatrix matrix, Tensor? bias, InputQuantizer? input)
{
    /// <param name="x">[.., columns].</param>
    /// <returns>[.., rows].</returns>
    public Tensor Forward(Tensor x) => Forward(x, matrix.Forward());

    /// <summary>The same where the matrix was made for another use already.</summary>
    public Tensor Forward(Tensor x, Tensor weight) => nn.functional.linear(input?.Forward(x) ?? x, weight, bias);
}
