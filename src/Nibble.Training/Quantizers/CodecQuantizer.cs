using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Memory;
using TorchSharp;
using static TorchSharp.torch;

namespace Nibble.Training.Quantizers;

/// <summary>Any format: encoded and decoded as a file would be, with the straight-through estimator backward.</summary>
internal sealed class CodecQuantizer(Format format) : WeightQuantizer(format)
{
    public override Tensor Forward(Tensor weight)
    {
        using var scope = NewDisposeScope();
        Weight encoded = Encode("", weight);
        var values = new float[weight.numel()];
        Parallel.For(0, encoded.Rows, row => encoded.ReadRow(row, values.AsSpan(row * encoded.Columns, encoded.Columns)));
        return StraightThrough.Of(weight, tensor(values, weight.shape)).MoveToOuterDisposeScope();
    }

    public override Weight Encode(string name, Tensor weight)
    {
        var source = new FloatMatrix(weight);
        Weight encoded = Weight.Allocate(name, Format.Learn(source, new LearnOptions()), source.Rows, source.Columns);
        Parallel.For(0, source.Rows, row => encoded.Format.Encode(source.Row(row), default, encoded.Row(row)));
        return encoded;
    }

    public override void FixCodes(Tensor weight) => throw new UnusableInputException(
        $"--train scales: {Format.Name} has no scales that training reaches; LinearN, TQ1_0 and TQ2_0 have them, or train the weights");
}
