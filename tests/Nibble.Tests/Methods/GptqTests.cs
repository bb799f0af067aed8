using System.Numerics.Tensors;
using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Quantization.Calibration;
using Nibble.Quantization.Methods;

namespace Nibble.Tests.Methods;

/// <summary>GPTQ and the moments it rests on, against sums written out.</summary>
public sealed class GptqTests : IDisposable
{
    private readonly WorkerPool _pool = new(2);

    public static TheoryData<string> Formats => new(Format.All.Where(f => f.Family != FormatFamily.Float).Select(f => f.Name));

    [Theory, MemberData(nameof(Formats))]
    public void Feedback_lowers_the_error_of_the_output_in_every_format(string name)
    {
        Weight source = RandomWeight(16, 512, seed: 3);
        // A codebook of so few rows would know them by heart, and nothing near them: it is learned from others of their kind.
        Format format = Format.Parse(name).ForColumns(512);
        format = format.Learn(format.Family == FormatFamily.Vector ? RandomWeight(160, 512, seed: 9) : source, new LearnOptions());
        InputMoments moments = Correlated(512, tokens: 1500);
        Weight nearest = Weight.Allocate("nearest", format, 16, 512), fedBack = Weight.Allocate("gptq", format, 16, 512);
        var row = new float[512];
        for (int r = 0; r < 16; r++)
        {
            source.ReadRow(r, row);
            format.Encode(row, new FitOptions { Importance = moments.Importance() }, nearest.Row(r));
        }
        Gptq.Quantize(source, fedBack, moments, null, new GptqOptions(), _pool);
        Assert.InRange(OutputError(source, fedBack, moments), 0, 0.9 * OutputError(source, nearest, moments));
    }

    [Fact]
    public void Inputs_without_correlation_leave_nearest_rounding_as_it_is()
    {
        Weight source = RandomWeight(8, 256, seed: 4);
        Weight target = Weight.Allocate("w", Format.Parse("Q4_0"), 8, 256);
        using var x = new Activation();
        x.Resize(256, 256);
        for (int t = 0; t < 256; t++)
        {
            x.Row(t).Clear();
            x.Row(t)[t] = 1;
        }
        var moments = new InputMoments(256);
        moments.Add(x, _pool);
        Gptq.Quantize(source, target, moments, null, new GptqOptions(), _pool);
        var expected = new byte[target.RowBytes];
        var row = new float[256];
        Span<float> rounded = stackalloc float[1];
        for (int r = 0; r < 8; r++)
        {
            source.ReadRow(r, row);
            for (int b = 0; b < 8; b++)
            {
                Span<byte> block = expected.AsSpan(b * 18, 18);
                var ones = new float[32];
                Array.Fill(ones, 1f);
                target.Format.Fit(row.AsSpan(b * 32, 32), new FitOptions { Importance = ones }, block);
                for (int i = 0; i < 32; i++) target.Format.Put(block, i, row.AsSpan(b * 32 + i, 1), rounded);
            }
            Assert.Equal(expected, target.Row(r).ToArray());
        }
    }

    [Fact]
    public void One_thread_or_many_give_the_same_bytes()
    {
        Weight source = RandomWeight(40, 256, seed: 5);
        InputMoments moments = Correlated(256, tokens: 300);
        Weight one = Weight.Allocate("one", Format.Parse("Q3_K"), 40, 256), many = Weight.Allocate("many", Format.Parse("Q3_K"), 40, 256);
        using var single = new WorkerPool(1);
        using var four = new WorkerPool(4);
        Gptq.Quantize(source, one, moments, null, new GptqOptions(), single);
        Gptq.Quantize(source, many, moments, null, new GptqOptions(), four);
        for (int r = 0; r < 40; r++) Assert.True(one.Row(r).SequenceEqual(many.Row(r)));
    }

    [Theory, InlineData(5, 7), InlineData(37, 60), InlineData(64, 20)]
    public void Moments_are_sums_of_products(int columns, int tokens)
    {
        using Activation x = RandomInputs(columns, tokens, seed: 6);
        var moments = new InputMoments(columns);
        moments.Add(x, _pool);
        moments.Add(x, _pool);
        for (int i = 0; i < columns; i++)
            for (int j = 0; j < columns; j++)
            {
                double sum = 0;
                for (int t = 0; t < tokens; t++) sum += 2.0 * Rounded(x.Row(t)[i]) * Rounded(x.Row(t)[j]);
                Assert.Equal(sum, moments[i, j], 1e-4 * tokens);
            }
        Assert.Equal(2 * tokens, moments.Tokens);
    }

    [Fact]
    public void The_factor_of_the_inverse_undoes_the_moments()
    {
        const int n = 24;
        InputMoments moments = Correlated(n, tokens: 200);
        int[] order = [.. Enumerable.Range(0, n).Reverse()];
        ErrorFeedback feedback = ErrorFeedback.Of(moments, order, damping: 0.01, _pool);
        double mean = Enumerable.Range(0, n).Average(i => moments[i, i]);
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++)
            {
                double product = 0;
                for (int k = 0; k < n; k++)
                {
                    double inverse = 0;
                    for (int m = 0; m <= Math.Min(i, k); m++) inverse += (double)feedback.Row(m)[i - m] * feedback.Row(m)[k - m];
                    product += inverse * (moments[order[k], order[j]] + (k == j ? 0.01 * mean : 0));
                }
                Assert.Equal(i == j ? 1 : 0, product, 2e-4);
            }
    }

    [Theory, InlineData("Q4_K"), InlineData("Q3_K"), InlineData("IQ2_XS"), InlineData("IQ3_S"), InlineData("Q4_0")]
    public void Sweeps_lessen_the_error_of_the_output_and_of_no_row_raise_it(string format)
    {
        Weight source = RandomWeight(6, 512, seed: 8);
        InputMoments moments = Correlated(512, tokens: 700);
        Weight without = Weight.Allocate("0", Format.Parse(format), 6, 512), with = Weight.Allocate("4", Format.Parse(format), 6, 512);
        Gptq.Quantize(source, without, moments, null, new GptqOptions { Sweeps = 0 }, _pool);
        Gptq.Quantize(source, with, moments, null, new GptqOptions { Sweeps = 4 }, _pool);
        double damping = 0.01 * Enumerable.Range(0, 512).Average(i => moments[i, i]);
        double[] before = [.. Enumerable.Range(0, 6).Select(r => OutputError(source, without, moments, r, damping))];
        double[] after = [.. Enumerable.Range(0, 6).Select(r => OutputError(source, with, moments, r, damping))];
        // Some rows have nothing left to gain.
        Assert.All(before.Zip(after), row => Assert.True(row.Second <= row.First * (1 + 1e-6)));
        Assert.True(after.Sum() < before.Sum(), $"{before.Sum()} {after.Sum()}");
    }

    [Theory, InlineData("Q4_0"), InlineData("Q4_K"), InlineData("Q3_K"), InlineData("Q2_K"), InlineData("Q6_K"), InlineData("IQ4_XS"), InlineData("TQ2_0"), InlineData("Linear3"), InlineData("Linear2-min-g32")]
    public void Tuned_scales_lessen_the_error_of_the_output_and_of_no_row_raise_it(string format)
    {
        Weight source = RandomWeight(6, 512, seed: 8);
        InputMoments moments = Correlated(512, tokens: 700);
        Weight without = Weight.Allocate("0", Format.Parse(format), 6, 512), with = Weight.Allocate("3", Format.Parse(format), 6, 512);
        Gptq.Quantize(source, without, moments, null, new GptqOptions(), _pool);
        Gptq.Quantize(source, with, moments, null, new GptqOptions { ScaleSweeps = 3 }, _pool);
        double damping = 0.01 * Enumerable.Range(0, 512).Average(i => moments[i, i]);
        double[] before = [.. Enumerable.Range(0, 6).Select(r => OutputError(source, without, moments, r, damping))];
        double[] after = [.. Enumerable.Range(0, 6).Select(r => OutputError(source, with, moments, r, damping))];
        Assert.All(before.Zip(after), row => Assert.True(row.Second <= row.First * (1 + 1e-6)));
        Assert.True(after.Sum() < before.Sum(), $"{before.Sum()} {after.Sum()}");
    }

    [Fact]
    public void Drift_is_a_sum_of_products_too()
    {
        const int columns = 21, tokens = 30;
        using Activation original = RandomInputs(columns, tokens, seed: 9), x = RandomInputs(columns, tokens, seed: 10);
        var drift = new InputDrift(columns);
        using Activation difference = Difference(original, x);
        for (int pass = 0; pass < 2; pass++) drift.Add(Panels(difference), Panels(x), _pool);
        Weight weight = RandomWeight(3, columns, seed: 14);
        var direct = new OutputDrift(3, columns);
        for (int pass = 0; pass < 2; pass++) direct.Add(weight, difference, Panels(x), _pool);
        OutputDrift through = drift.Through(weight, _pool);
        var w = new float[columns];
        for (int r = 0; r < 3; r++)
        {
            weight.ReadRow(r, w);
            for (int j = 0; j < columns; j++)
            {
                double ofInputs = 0, ofOutputs = 0;
                for (int t = 0; t < tokens; t++)
                {
                    float output = 0;
                    for (int i = 0; i < columns; i++)
                    {
                        float drifted = original.Row(t)[i] - x.Row(t)[i];
                        ofInputs += 2.0 * w[i] * Rounded(drifted) * Rounded(x.Row(t)[j]);
                        output += w[i] * drifted;
                    }
                    ofOutputs += 2.0 * Rounded(output) * Rounded(x.Row(t)[j]);
                }
                Assert.Equal(ofInputs, through.Row(r)[j], 2e-3);
                Assert.Equal(ofOutputs, direct.Row(r)[j], 2e-3);
            }
        }
    }

    /// <summary>A layer whose inputs have drifted does better, against the original's output, if it is told so.</summary>
    [Fact]
    public void What_the_inputs_have_drifted_is_made_up_for()
    {
        const int columns = 256, tokens = 1500;
        Weight source = RandomWeight(8, columns, seed: 11);
        using Activation original = RandomInputs(columns, tokens, seed: 12), x = RandomInputs(columns, tokens, seed: 13);
        // The drifted inputs are three quarters of the original's, and some noise.
        for (int t = 0; t < tokens; t++)
            for (int c = 0; c < columns; c++) x.Row(t)[c] = 0.75f * original.Row(t)[c] + 0.1f * x.Row(t)[c];
        x.Changed();
        var moments = new InputMoments(columns);
        moments.Add(x, _pool);
        var drift = new InputDrift(columns);
        using Activation difference = Difference(original, x);
        drift.Add(Panels(difference), Panels(x), _pool);
        Weight blind = Weight.Allocate("blind", Format.Parse("Q4_0"), 8, columns), told = Weight.Allocate("told", Format.Parse("Q4_0"), 8, columns);
        Gptq.Quantize(source, blind, moments, null, new GptqOptions(), _pool);
        Gptq.Quantize(source, told, moments, drift.Through(source, _pool), new GptqOptions { DriftShare = 1 }, _pool);
        Assert.True(Distance(source, original, told, x) < 0.3 * Distance(source, original, blind, x));
    }

    private static float Rounded(float number)
    {
        Span<byte> bytes = stackalloc byte[sizeof(ushort)];
        FloatFormat.BF16.Encode([number], default, bytes);
        FloatFormat.BF16.Decode(bytes, new Span<float>(ref number));
        return number;
    }

    private static Activation Difference(Activation a, Activation b)
    {
        var difference = new Activation();
        difference.Resize(a.Tokens, a.Columns);
        for (int t = 0; t < a.Tokens; t++) TensorPrimitives.Subtract(a.Row(t), b.Row(t), difference.Row(t));
        return difference;
    }

    private TokenPanels Panels(Activation x)
    {
        var panels = new TokenPanels();
        panels.Load(x, _pool);
        return panels;
    }

    /// <summary>The squared distance of W x̄ and Q x, over all tokens.</summary>
    private static double Distance(Weight w, Activation original, Weight q, Activation x)
    {
        var a = new float[w.Columns];
        var b = new float[w.Columns];
        double sum = 0;
        for (int r = 0; r < w.Rows; r++)
        {
            w.ReadRow(r, a);
            q.ReadRow(r, b);
            for (int t = 0; t < x.Tokens; t++)
            {
                double difference = 0;
                for (int c = 0; c < w.Columns; c++) difference += a[c] * original.Row(t)[c] - b[c] * x.Row(t)[c];
                sum += difference * difference;
            }
        }
        return sum;
    }

    [Fact]
    public void Moments_of_nothing_are_refused() =>
        Assert.Throws<UnusableInputException>(() => ErrorFeedback.Of(new InputMoments(8), [.. Enumerable.Range(0, 8)], 0.01, new WorkerPool(1)));

    /// <summary>tr(E H Eᵀ): what the rounding does to the layer's output.</summary>
    private static double OutputError(Weight source, Weight quantized, InputMoments moments) =>
        Enumerable.Range(0, source.Rows).Sum(r => OutputError(source, quantized, moments, r));

    private static double OutputError(Weight source, Weight quantized, InputMoments moments, int r, double damping = 0)
    {
        int n = source.Columns;
        var w = new float[n];
        var q = new float[n];
        double sum = 0;
        source.ReadRow(r, w);
        quantized.ReadRow(r, q);
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++)
                sum += (double)(w[i] - q[i]) * (moments[i, j] + (i == j ? damping : 0)) * (w[j] - q[j]);
        return sum;
    }

    private InputMoments Correlated(int columns, int tokens)
    {
        using Activation x = RandomInputs(columns, tokens, seed: 7);
        for (int t = 0; t < tokens; t++)
            for (int i = 1; i < columns; i++) x.Row(t)[i] = 0.8f * x.Row(t)[i - 1] + 0.6f * x.Row(t)[i];
        x.Changed();
        var moments = new InputMoments(columns);
        moments.Add(x, _pool);
        return moments;
    }

    private static Activation RandomInputs(int columns, int tokens, int seed)
    {
        var random = new Random(seed);
        var x = new Activation();
        x.Resize(tokens, columns);
        for (int t = 0; t < tokens; t++)
            foreach (ref float v in x.Row(t)) v = (float)(random.NextDouble() + random.NextDouble() - 1);
        return x;
    }

    private static Weight RandomWeight(int rows, int columns, int seed)
    {
        var random = new Random(seed);
        Weight weight = Weight.Allocate("w", FloatFormat.F32, rows, columns);
        var row = new float[columns];
        for (int r = 0; r < rows; r++)
        {
            for (int i = 0; i < columns; i++) row[i] = (float)(random.NextDouble() + random.NextDouble() - 1);
            weight.Format.Encode(row, default, weight.Row(r));
        }
        return weight;
    }

    public void Dispose() => _pool.Dispose();
}
