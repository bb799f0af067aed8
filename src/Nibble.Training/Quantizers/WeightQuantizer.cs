using Nibble.Core.Formats;
using Nibble.Core.Memory;
using TorchSharp;
using static TorchSharp.torch;

namespace Nibble.Training.Quantizers;

/// <summary>
/// Makes of a matrix what its format will store, and lets gradients through: fit and put forward, the identity backward
/// (the straight-through estimator, Bengio et al., arXiv:1308.3432), or better where the format's parameters are learned.
/// </summary>
internal abstract class WeightQuantizer(Format format) : IDisposable
{
    public Format Format { get; } = format;

    /// <summary>What is learned beside the weights; named by what follows the matrix's name.</summary>
    public virtual IReadOnlyList<Trainable> Learned => [];

    /// <summary>The stored values of a matrix, [rows, columns], with gradients to the matrix and to what is learned.</summary>
    public abstract Tensor Forward(Tensor weight);

    /// <summary>The bytes that mean exactly what <see cref="Forward"/> gives.</summary>
    public abstract Weight Encode(string name, Tensor weight);

    /// <summary>Lets the codes stay what they are for these weights, so that only what is learned beside them moves.</summary>
    /// <exception cref="Core.UnusableInputException">The format has nothing to learn.</exception>
    public abstract void FixCodes(Tensor weight);

    /// <summary>The quantizer that serves a format best.</summary>
    /// <param name="weight">[rows, columns], from which first parameters are fitted.</param>
    public static WeightQuantizer Of(Format format, Tensor weight)
    {
        Format bound = format.ForColumns(checked((int)weight.shape[1]));
        return StepGrid.Of(bound) is { } grid ? new StepQuantizer(grid, weight) : new CodecQuantizer(bound);
    }

    public virtual void Dispose()
    {
        foreach (Trainable learned in Learned) learned.Value.Dispose();
        GC.SuppressFinalize(this);
    }
}
