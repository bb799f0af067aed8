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
        Gptq.Quantize(source, fedBack, moments, new GptqOptions(), _pool);
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
        Gptq.Quantize(source, target, moments, new GptqOptions(), _pool);
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
        Gptq.Quantize(source, one, moments, new GptqOptions(), single);
        Gptq.Quantize(source, many, moments, new GptqOptions(), four);
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
                for (int t = 0; t < tokens; t++) sum += 2.0 * x.Row(t)[i] * x.Row(t)[j];
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
        ErrorFeedback feedback = ErrorFeedback.Of(moments, order, damping: 0.01);
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

    [Fact]
    public void Moments_of_nothing_are_refused() =>
        Assert.Throws<UnusableInputException>(() => ErrorFeedback.Of(new InputMoments(8), [.. Enumerable.Range(0, 8)], 0.01));

    /// <summary>tr(E H Eᵀ): what the rounding does to the layer's output.</summary>
    private static double OutputError(Weight source, Weight quantized, InputMoments moments)
    {
        int n = source.Columns;
        var w = new float[n];
        var q = new float[n];
        double sum = 0;
        for (int r = 0; r < source.Rows; r++)
        {
            source.ReadRow(r, w);
            quantized.ReadRow(r, q);
            for (int i = 0; i < n; i++)
                for (int j = 0; j < n; j++)
                    sum += (double)(w[i] - q[i]) * moments[i, j] * (w[j] - q[j]);
        }
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
