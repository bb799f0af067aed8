using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace Nibble.Training.Quantizers;

/// <summary>Makes of the inputs of a linear layer what fewer bits leave of them, and lets gradients through.</summary>
internal abstract class InputQuantizer : IDisposable
{
    /// <summary>What is learned, or null.</summary>
    public virtual ClippedInput? Learned => null;

    /// <param name="x">[.., columns].</param>
    public abstract Tensor Forward(Tensor x);

    /// <summary>The kind that a command line names: a rounding as <c>eval</c> knows it, or any format.</summary>
    /// <param name="name">Of what is learned.</param>
    /// <exception cref="UnusableInputException">There is no such kind.</exception>
    public static InputQuantizer Of(string kind, string name)
    {
        if (Format.All.Any(f => f.Name.Equals(kind, StringComparison.OrdinalIgnoreCase))) return new CodedInput(Format.Parse(kind));
        InputRounding rounding = InputRounding.Parse(kind);
        return rounding switch
        {
            { Bits: 0 or 16 } or { Grain: InputGrain.Channel } => throw new UnusableInputException(
                $"--activations {kind}: is nothing that training rounds to; give int8 or int4, alone or with -g32 (any group), or with -tensor for a learned bound, or a format"),
            { Grain: InputGrain.Tensor } => new ClippedInput(name, rounding.Bits),
            _ => new RoundedInput(rounding),
        };
    }

    public virtual void Dispose() => GC.SuppressFinalize(this);

    /// <summary>Whole numbers times a scale that the largest magnitude of a token, or of a group of its columns, gives; the identity backward.</summary>
    private sealed class RoundedInput(InputRounding rounding) : InputQuantizer
    {
        public override Tensor Forward(Tensor x)
        {
            long columns = x.shape[^1], span = rounding.Grain == InputGrain.Group ? rounding.Group : columns;
            if (columns % span != 0) throw new UnusableInputException($"--activations {rounding.Name}: rows of {columns} cannot be cut into groups of {span}");
            using var scope = NewDisposeScope();
            Tensor groups = x.detach().reshape(-1, columns / span, span);
            Tensor largest = groups.abs().amax([-1], keepdim: true);
            Tensor codes = (groups * (rounding.LargestCode / largest.clamp_min(1e-30))).round_();
            return StraightThrough.Of(x, (codes * (largest / rounding.LargestCode)).view(x.shape)).MoveToOuterDisposeScope();
        }
    }

    /// <summary>Any format; the identity backward.</summary>
    private sealed class CodedInput(Format format) : InputQuantizer
    {
        public override Tensor Forward(Tensor x)
        {
            using var scope = NewDisposeScope();
            int columns = checked((int)x.shape[^1]);
            using var quantizer = new CodecQuantizer(format.ForColumns(columns));
            return quantizer.Forward(x.reshape(-1, columns)).view(x.shape).MoveToOuterDisposeScope();
        }
    }
}
