using System.Runtime.InteropServices;
using Nibble.Core.Formats;
using TorchSharp;
using static TorchSharp.torch;

namespace Nibble.Training.Quantizers;

/// <summary>
/// A format of equal steps whose block has parameters of its own: weight = step (code - zero) + minimum with codes from 0
/// to <see cref="Top"/>. That is all that learning a step size must know of it.
/// </summary>
internal abstract class StepGrid(Format format, int top)
{
    public Format Format { get; } = format;

    /// <summary>The greatest code.</summary>
    public int Top { get; } = top;

    /// <summary>True if the minimum is stored, and so may be learned.</summary>
    public virtual bool HasMinimum => false;

    /// <summary>
    /// How far beyond its outermost level, in steps, a weight still has a gradient: 0 as in LSQ; half a step where there are
    /// so few levels that most weights lie beyond, so that every level has a bin as wide (the stretched elastic levels of
    /// ParetoQ, arXiv:2502.02631).
    /// </summary>
    public double Stretch => Top < 4 ? 0.5 : 0;

    public abstract (float Step, float Zero, float Minimum) Read(ReadOnlySpan<byte> block);

    public abstract void Write(Span<byte> block, float step, float zero, float minimum);

    /// <summary>A step or a minimum, rounded to what the format stores.</summary>
    public virtual Tensor Round(Tensor parameter) => parameter.to(float16).to(float32);

    /// <summary>The steps of a format that is bound to its rows, or null if it is not of this kind.</summary>
    public static StepGrid? Of(Format format) => format switch
    {
        LinearFormat { BlockGroups: 1, Scale: ScaleType.F16 or ScaleType.BF16 or ScaleType.F32 } linear => new LinearSteps(linear),
        BlockFormat<Q1_0> => new ScaledSteps<Q1_0>(format, 1, 0.5f, (in Q1_0 b) => b.D, (ref Q1_0 b, Half d) => b.D = d),
        BlockFormat<Q2_0> => new ScaledSteps<Q2_0>(format, 3, 1, (in Q2_0 b) => b.D, (ref Q2_0 b, Half d) => b.D = d),
        BlockFormat<Q4_0> => new ScaledSteps<Q4_0>(format, 15, 8, (in Q4_0 b) => b.D, (ref Q4_0 b, Half d) => b.D = d),
        BlockFormat<Q5_0> => new ScaledSteps<Q5_0>(format, 31, 16, (in Q5_0 b) => b.D, (ref Q5_0 b, Half d) => b.D = d),
        BlockFormat<Q8_0> => new ScaledSteps<Q8_0>(format, 254, 127, (in Q8_0 b) => b.D, (ref Q8_0 b, Half d) => b.D = d),
        BlockFormat<TQ1_0> => new ScaledSteps<TQ1_0>(format, 2, 1, (in TQ1_0 b) => b.D, (ref TQ1_0 b, Half d) => b.D = d),
        BlockFormat<TQ2_0> => new ScaledSteps<TQ2_0>(format, 2, 1, (in TQ2_0 b) => b.D, (ref TQ2_0 b, Half d) => b.D = d),
        _ => null,
    };

    private sealed class LinearSteps(LinearFormat format) : StepGrid(format, (1 << format.Bits) - 1)
    {
        private bool IsBinary => format is { Bits: 1, Kind: LinearKind.Symmetric };

        public override bool HasMinimum => format.Kind == LinearKind.Minimum;

        public override (float Step, float Zero, float Minimum) Read(ReadOnlySpan<byte> block)
        {
            Span<float> scale = stackalloc float[1], zero = stackalloc float[1];
            format.ReadParameters(block, scale, zero);
            if (IsBinary) return (2 * scale[0], 0.5f, 0);
            return format.Kind switch
            {
                LinearKind.Symmetric => (scale[0], 1 << format.Bits >> 1, 0),
                LinearKind.ZeroPoint => (scale[0], zero[0], 0),
                _ => (scale[0], 0, zero[0]),
            };
        }

        public override void Write(Span<byte> block, float step, float zero, float minimum) =>
            format.WriteParameters(block, [IsBinary ? step / 2 : step], [HasMinimum ? minimum : zero]);

        public override Tensor Round(Tensor parameter) => format.Scale switch
        {
            ScaleType.F16 => base.Round(parameter),
            ScaleType.BF16 => parameter.to(bfloat16).to(float32),
            _ => parameter.alias(),
        };
    }

    private delegate Half Reader<TBlock>(in TBlock block);

    private delegate void Writer<TBlock>(ref TBlock block, Half scale);

    /// <summary>GGUF's formats of one 16-bit scale. Of the two levels of one bit, plus and minus the scale, the step is twice the scale.</summary>
    private sealed class ScaledSteps<TBlock>(Format format, int top, float zero, Reader<TBlock> read, Writer<TBlock> write) : StepGrid(format, top)
        where TBlock : unmanaged, IBlock<TBlock>
    {
        private readonly int _unit = top == 1 ? 2 : 1;

        public override (float Step, float Zero, float Minimum) Read(ReadOnlySpan<byte> block) =>
            (_unit * (float)read(in MemoryMarshal.AsRef<TBlock>(block)), zero, 0);

        public override void Write(Span<byte> block, float step, float _, float minimum) =>
            write(ref MemoryMarshal.AsRef<TBlock>(block), (Half)(step / _unit));
    }
}
