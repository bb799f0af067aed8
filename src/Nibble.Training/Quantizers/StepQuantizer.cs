using Nibble.Core.Memory;
using TorchSharp;
using static TorchSharp.torch;

namespace Nibble.Training.Quantizers;

/// <summary>
/// Formats of equal steps, with the step of every block learned: LSQ (Esser et al., arXiv:1902.08153), and where the format
/// stores a minimum, that too: LSQ+ (Bhalgat et al., arXiv:2004.09576). Whole zero points stay as they were fitted.
/// </summary>
/// <remarks>
/// A step is learned as a factor of its first value, a minimum as a distance from its first value in first steps, so that
/// one learning rate suits all blocks.
/// </remarks>
internal sealed class StepQuantizer : WeightQuantizer
{
    /// <summary>A block of zeros has no step; any small one stores zeros.</summary>
    private const float LeastStep = 1e-6f;

    /// <summary>The greatest code below which a step is searched for.</summary>
    private const int FewLevels = 4;

    private readonly StepGrid _grid;
    private readonly Tensor _step, _zero, _minimum;
    private readonly Trainable _factor;
    private readonly Trainable? _shift;
    private Tensor? _codes;

    /// <param name="grid">Of the format, bound to the rows.</param>
    /// <param name="weight">[rows, columns].</param>
    public StepQuantizer(StepGrid grid, Tensor weight) : base(grid.Format)
    {
        _grid = grid;
        var source = new FloatMatrix(weight);
        int blocks = source.Columns / Format.BlockSize;
        var (steps, zeros, minimums) = (new float[source.Rows * blocks], new float[source.Rows * blocks], new float[source.Rows * blocks]);
        Parallel.For(0, source.Rows, row =>
        {
            var bytes = new byte[Format.RowBytes(source.Columns)];
            Format.Encode(source.Row(row), default, bytes);
            for (int b = 0, at = row * blocks; b < blocks; b++, at++)
            {
                (steps[at], zeros[at], minimums[at]) = grid.Read(bytes.AsSpan(b * Format.BlockBytes, Format.BlockBytes));
                if (MathF.Abs(steps[at]) < LeastStep) steps[at] = LeastStep;
                else if (grid.Top < FewLevels) steps[at] *= BestFactor(source.Row(row).Slice(b * Format.BlockSize, Format.BlockSize), steps[at], zeros[at], minimums[at], grid.Top);
            }
        });
        long[] shape = [source.Rows, blocks, 1];
        _step = tensor(steps, shape).DetachFromDisposeScope();
        _zero = tensor(zeros, shape).DetachFromDisposeScope();
        _minimum = tensor(minimums, shape).DetachFromDisposeScope();
        _factor = new Trainable("step", ones(shape, requires_grad: true).DetachFromDisposeScope(), TrainableKind.Scale);
        if (grid.HasMinimum) _shift = new Trainable("minimum", zeros_like(_minimum, requires_grad: true).DetachFromDisposeScope(), TrainableKind.Scale);
    }

    /// <summary>
    /// By what a fitted step must be multiplied for the least squared error. TQ2_0 fits the largest weight of 256, so that
    /// most of them become zero, and learning would spend its time on the way back.
    /// </summary>
    private static float BestFactor(ReadOnlySpan<float> weights, float step, float zero, float minimum, int top)
    {
        (float best, double least) = (1, double.PositiveInfinity);
        for (int twentieths = 20; twentieths >= 3; twentieths--)
        {
            float factor = twentieths / 20f, tried = step * factor;
            double error = 0;
            foreach (float weight in weights)
            {
                float code = MathF.Round(Math.Clamp((weight - minimum) / tried + zero, 0, top));
                double off = weight - (tried * (code - zero) + minimum);
                error += off * off;
            }
            if (error < least) (best, least) = (factor, error);
        }
        return best;
    }

    public override IReadOnlyList<Trainable> Learned => _shift is null ? [_factor] : [_factor, _shift];

    public override Tensor Forward(Tensor weight)
    {
        using var scope = NewDisposeScope();
        Tensor blocks = weight.view(weight.shape[0], -1, Format.BlockSize);
        (Tensor step, Tensor minimum) = Parameters(blocks.numel());
        Tensor stored = _codes is null ? Quantize(blocks, step, minimum) : step * (_codes - _zero) + minimum;
        return stored.view(weight.shape).MoveToOuterDisposeScope();
    }

    /// <summary>Steps and minimums as they are stored, their gradients scaled as LSQ scales them.</summary>
    private (Tensor Step, Tensor Minimum) Parameters(long weights)
    {
        double factor = 1 / Math.Sqrt((double)weights / _step.numel() * _grid.Top);
        Tensor exact = _step * StraightThrough.ScaleGradient(_factor.Value, factor);
        Tensor step = StraightThrough.Of(exact, _grid.Round(exact.detach()));
        if (_shift is null) return (step, _minimum);
        Tensor low = _minimum + _step.abs() * StraightThrough.ScaleGradient(_shift.Value, factor);
        return (step, StraightThrough.Of(low, _grid.Round(low.detach())));
    }

    /// <summary>
    /// step (code - zero) + minimum, code = round(clamp((w - minimum) / step + zero)). Inside the levels the code passes
    /// gradients on as if it were not rounded; beyond them, stretched as the format wants, it is a constant.
    /// </summary>
    private Tensor Quantize(Tensor blocks, Tensor step, Tensor minimum)
    {
        Tensor place = (blocks - minimum) / step + _zero;
        Tensor free = place.detach();
        Tensor inside = free.ge(-_grid.Stretch).logical_and(free.le(_grid.Top + _grid.Stretch)).to(float32);
        Tensor code = free.clamp(0, _grid.Top).round_() + (place - free) * inside;
        return step * (code - _zero) + minimum;
    }

    public override void FixCodes(Tensor weight)
    {
        using var off = no_grad();
        using var scope = NewDisposeScope();
        Tensor blocks = weight.detach().view(weight.shape[0], -1, Format.BlockSize);
        (Tensor step, Tensor minimum) = Parameters(blocks.numel());
        _codes = ((blocks - minimum) / step + _zero).clamp(0, _grid.Top).round().DetachFromDisposeScope();
    }

    public override Weight Encode(string name, Tensor weight)
    {
        using var off = no_grad();
        using var scope = NewDisposeScope();
        var stored = new FloatMatrix(Forward(weight));
        (Tensor step, Tensor minimum) = Parameters(weight.numel());
        float[] steps = FloatMatrix.Floats(step), minimums = FloatMatrix.Floats(minimum), zeros = FloatMatrix.Floats(_zero);
        Weight encoded = Weight.Allocate(name, Format, stored.Rows, stored.Columns);
        int size = Format.BlockSize, bytes = Format.BlockBytes, blocks = stored.Columns / size;
        Parallel.For(0, stored.Rows, row =>
        {
            Span<float> rounded = stackalloc float[1];
            for (int b = 0; b < blocks; b++)
            {
                Span<byte> block = encoded.Row(row).Slice(b * bytes, bytes);
                _grid.Write(block, steps[row * blocks + b], zeros[row * blocks + b], minimums[row * blocks + b]);
                // The value is on a level already, so that the code cannot be another's.
                for (int i = 0; i < size; i++) Format.Put(block, i, stored.Row(row).Slice(b * size + i, 1), rounded);
            }
        });
        return encoded;
    }

    public override void Dispose()
    {
        _step.Dispose();
        _zero.Dispose();
        _minimum.Dispose();
        _codes?.Dispose();
        base.Dispose();
    }
}
