using Nibble.Quantization.Evaluation;

namespace Nibble.Tests.Quantization;

public class LogitStatisticsTests
{
    /// <summary>Odd lengths too: the tail after the last full vector must count.</summary>
    [Theory, InlineData(1), InlineData(7), InlineData(8), InlineData(1001), InlineData(32000)]
    public void Likelihood_and_divergence_equal_the_textbook_sums(int vocabulary)
    {
        var random = new Random(vocabulary);
        float[] a = Logits(random, vocabulary), b = Logits(random, vocabulary);
        double[] p = Softmax(a), q = Softmax(b);
        int token = vocabulary / 2;
        double expected = 0;
        for (int i = 0; i < vocabulary; i++) expected += p[i] * Math.Log(p[i] / q[i]);
        Assert.Equal(-Math.Log(p[token]), LogitStatistics.NegativeLogLikelihood(a, token), 1e-5);
        Assert.Equal(expected, LogitStatistics.Divergence(a, b), 1e-5);
        Assert.Equal(0, LogitStatistics.Divergence(a, a), 1e-7);
    }

    [Fact]
    public void Huge_logits_do_not_overflow()
    {
        float[] logits = [3e4f, 0, -3e4f, 3e4f];
        Assert.Equal(Math.Log(2), LogitStatistics.NegativeLogLikelihood(logits, 0), 1e-6);
    }

    [Fact]
    public void Perplexity_and_its_error_follow_the_definition()
    {
        Perplexity perplexity = Perplexity.Of([1.0, 2.0, 3.0]);
        Assert.Equal(Math.Exp(2), perplexity.Value, 1e-12);
        Assert.Equal(Math.Exp(2) * Math.Sqrt(2.0 / 3 / 2), perplexity.Error, 1e-12);
        Assert.Equal(3, perplexity.Tokens);
    }

    [Fact]
    public void Quantiles_are_interpolated()
    {
        Divergence divergence = Divergence.Of([4, 0, 2, 1], 0.75);
        Assert.Equal(1.5, divergence.Median);
        Assert.Equal(4, divergence.Max);
        Assert.Equal(1.75, divergence.Mean);
        Assert.Equal(2 + 0.97 * 2, divergence.P99, 1e-12);
    }

    private static float[] Logits(Random random, int count) =>
        [.. Enumerable.Range(0, count).Select(_ => (float)(random.NextDouble() * 30 - 15))];

    private static double[] Softmax(float[] logits)
    {
        double sum = logits.Sum(x => Math.Exp(x));
        return [.. logits.Select(x => Math.Exp(x) / sum)];
    }
}
