using Nibble.Core.Kernels;

namespace Nibble.Models.Decoder;

/// <summary>Looks on while a forward pass runs: to calibrate, and to measure errors layer by layer.</summary>
public interface IProbe
{
    /// <summary>A linear layer is about to read this input: [tokens, columns]. An expert sees only the tokens sent to it.</summary>
    void LinearInput(string name, Activation x);

    /// <summary>What a layer left in the residual stream: [tokens, hidden].</summary>
    void Hidden(int layer, ReadOnlySpan<float> states);

    /// <summary>The experts a layer sends the batch's tokens to: [tokens, used].</summary>
    void Routed(int layer, ReadOnlySpan<int> experts) { }
}
