using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Training.Quantizers;
using TorchSharp;
using static TorchSharp.torch;

namespace Nibble.Training.Tests;

public class QuantizerTests
{
    private const int Rows = 3, Columns = 512;

    public static TheoryData<string> Formats => [
        .. Format.All.Where(f => f.Family != FormatFamily.Float).Select(f => f.Name),
        "Linear2-min", "Linear3-sym", "Linear4-g32-bf16", "Linear2-row", "Linear4-tensor", "Linear3-g32-s8", "Fixed4",
    ];

    [Theory, MemberData(nameof(Formats))]
    public void What_training_sees_is_what_the_format_stores_and_gradients_pass(string name)
    {
        Torch.Require();
        using var scope = NewDisposeScope();
        Tensor weight = Weights();
        using WeightQuantizer quantizer = WeightQuantizer.Of(Format.Parse(name), weight);
        Tensor seen = quantizer.Forward(weight);
        AssertSame(quantizer.Encode(name, weight), seen);
        seen.sum().backward();
        Assert.True(weight.grad!.count_nonzero().item<long>() > Rows * Columns / 2, "most weights have a gradient");
    }

    [Theory]
    [InlineData("Q4_K")]
    [InlineData("IQ4_NL")]
    public void The_straight_through_estimator_is_the_identity_backward(string name)
    {
        Torch.Require();
        using var scope = NewDisposeScope();
        Tensor weight = Weights(), factor = randn(Rows, Columns);
        using var quantizer = new CodecQuantizer(Format.Parse(name));
        (quantizer.Forward(weight) * factor).sum().backward();
        Assert.Equal(FloatMatrix.Floats(factor), FloatMatrix.Floats(weight.grad!));
    }

    [Theory]
    [InlineData("Linear4", 0)]
    [InlineData("Linear3-sym", 0)]
    [InlineData("Linear2", 0.5)]
    [InlineData("TQ2_0", 0.5)]
    [InlineData("Q1_0", 0.5)]
    [InlineData("Q2_0", 0.5)]
    [InlineData("Q4_0", 0)]
    public void The_gradients_of_learned_steps_are_those_of_LSQ(string name, double stretch)
    {
        Torch.Require();
        using var scope = NewDisposeScope();
        Tensor weight = Weights(), factor = randn(Rows, Columns);
        Format format = Format.Parse(name);
        using WeightQuantizer quantizer = WeightQuantizer.Of(format, weight);
        StepGrid grid = StepGrid.Of(format)!;
        (quantizer.Forward(weight) * factor).sum().backward();
        float[] w = FloatMatrix.Floats(weight), f = FloatMatrix.Floats(factor), dw = FloatMatrix.Floats(weight.grad!);
        float[] ds = FloatMatrix.Floats(quantizer.Learned[0].Value.grad!);
        Weight encoded = quantizer.Encode(name, weight);
        int size = format.BlockSize, blocks = Columns / size;
        for (int block = 0; block < Rows * blocks; block++)
        {
            (float step, float zero, _) = grid.Read(encoded.Row(block / blocks).Slice(block % blocks * format.BlockBytes, format.BlockBytes));
            double sum = 0;
            for (int i = block * size; i < (block + 1) * size; i++)
            {
                double place = (double)w[i] / step + zero, code = Math.Round(Math.Clamp(place, 0, grid.Top));
                bool inside = place >= -stretch && place <= grid.Top + stretch;
                Assert.Equal(inside ? f[i] : 0, dw[i], 1e-5f);
                // LSQ: round(v) - v inside, the outermost level beyond; learned as a factor of the step.
                sum += f[i] * step * (inside ? code - place : code - zero);
            }
            Assert.Equal(sum / Math.Sqrt(size * grid.Top), ds[block], 1e-4);
        }
    }

    [Fact]
    public void With_fixed_codes_the_gradients_of_steps_and_minimums_are_finite_differences()
    {
        Torch.Require();
        using var scope = NewDisposeScope();
        Tensor weight = Weights(), factor = randn(Rows, Columns);
        using WeightQuantizer quantizer = WeightQuantizer.Of(Format.Parse("Linear3-min-f32"), weight);
        quantizer.FixCodes(weight);
        (quantizer.Forward(weight) * factor).sum().backward();
        double scaling = 1 / Math.Sqrt(64 * 7);
        foreach (Trainable learned in quantizer.Learned)
        {
            float[] gradient = FloatMatrix.Floats(learned.Value.grad!);
            for (int block = 0; block < gradient.Length; block += 5)
            {
                double difference = (Moved(block, 1e-2f) - Moved(block, -1e-2f)) / 2e-2;
                Assert.Equal(difference * scaling, gradient[block], 1e-3);
            }

            double Moved(int block, float by)
            {
                using var off = no_grad();
                learned.Value.view(-1)[block].add_(by);
                double value = (quantizer.Forward(weight) * factor).sum().to(float64).item<double>();
                learned.Value.view(-1)[block].add_(-by);
                return value;
            }
        }
    }

    [Fact]
    public void The_gradients_of_a_clipped_input_are_those_of_PACT()
    {
        Torch.Require();
        using var scope = NewDisposeScope();
        Tensor x = tensor(new float[] { -3, -1.5f, -0.2f, 0, 0.7f, 1.99f, 2.5f, 8 }, requires_grad: true);
        using var quantizer = new ClippedInput("clip", 8);
        quantizer.FirstBound.fill_(2);
        float[] y = FloatMatrix.Floats(quantizer.Forward(x));
        Assert.Equal([-2, 2, 2], [y[0], y[6], y[7]]);
        Assert.All(y, value => Assert.Equal(Math.Round(value / (2 / 127.0)), value / (2 / 127.0), 1e-3));
        quantizer.Forward(x).sum().backward();
        Assert.Equal([0, 1, 1, 1, 1, 1, 0, 0], FloatMatrix.Floats(x.grad!));
        // Beyond the bound d y / d clip is the sign of x, times the first bound, of which the factor is learned: 2 (-1 + 1 + 1).
        Assert.Equal(2, quantizer.Factor.Value.grad!.item<float>(), 1e-6f);
    }

    [Theory]
    [InlineData("int8")]
    [InlineData("int4-g32")]
    public void Rounded_inputs_are_those_that_the_decoder_rounds_and_pass_gradients(string kind)
    {
        Torch.Require();
        using var scope = NewDisposeScope();
        Tensor x = Weights();
        float[] exact = FloatMatrix.Floats(x);
        exact.AsSpan(Columns, Columns).Clear();
        using (no_grad()) x[1].zero_();
        using var quantizer = InputQuantizer.Of(kind, "");
        Tensor seen = quantizer.Forward(x);
        using var pool = new WorkerPool(1);
        using var activation = new Activation();
        activation.Resize(Rows, Columns);
        for (int row = 0; row < Rows; row++) exact.AsSpan(row * Columns, Columns).CopyTo(activation.Row(row));
        Assert.Equal(Rounded(activation, pool, InputRounding.Parse(kind)), FloatMatrix.Floats(seen));
        seen.sum().backward();
        Assert.All(FloatMatrix.Floats(x.grad!), gradient => Assert.Equal(1, gradient));
    }

    private static unsafe float[] Rounded(Activation x, WorkerPool pool, InputRounding rounding) =>
        new ReadOnlySpan<float>(x.Rounded(pool, rounding), Rows * Columns).ToArray();

    [Fact]
    public void An_input_within_its_bound_loses_half_a_step_at_most()
    {
        Torch.Require();
        using var scope = NewDisposeScope();
        Tensor x = randn(100);
        using var quantizer = new ClippedInput("clip", 8);
        float[] exact = FloatMatrix.Floats(x), seen = FloatMatrix.Floats(quantizer.Forward(x));
        float step = exact.Max(MathF.Abs) / 127;
        for (int i = 0; i < exact.Length; i++) Assert.Equal(exact[i], seen[i], 0.501f * step);
    }

    private static Tensor Weights()
    {
        manual_seed(7);
        return (randn(Rows, Columns) * 0.05).detach().requires_grad_();
    }

    private static void AssertSame(Weight encoded, Tensor seen)
    {
        float[] values = FloatMatrix.Floats(seen), row = new float[Columns];
        for (int r = 0; r < Rows; r++)
        {
            encoded.ReadRow(r, row);
            Assert.Equal(row, values[(r * Columns)..((r + 1) * Columns)]);
        }
    }
}
