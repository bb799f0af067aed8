using TorchSharp;
using static TorchSharp.torch;

namespace Nibble.Training;

/// <summary>Which learning rate a trainable tensor has.</summary>
internal enum TrainableKind
{
    /// <summary>Matrices, norms and biases.</summary>
    Weight,
    /// <summary>Step sizes, minimums and clipping bounds, each relative to its first value.</summary>
    Scale,
}

/// <summary>A tensor that training changes, in place.</summary>
/// <param name="Name">Unique; the name in a checkpoint.</param>
/// <param name="Value">A leaf that requires a gradient.</param>
internal sealed record Trainable(string Name, Tensor Value, TrainableKind Kind);
