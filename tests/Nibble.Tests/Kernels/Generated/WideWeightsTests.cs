using Nibble.Core.Kernels;
using Nibble.Core.Kernels.Generated;

namespace Nibble.Tests.Kernels.Generated;

/// <summary>The softmax of attention over many rows: portable, emulated, and run where the processor can, against double precision.</summary>
public sealed unsafe class WideWeightsTests
{
    private const int Rows = 16, SumLines = 5;

    public static TheoryData<int, float, float> Cases => new() { { 1, 1, float.MinValue }, { 4, 1, 0.5f }, { 33, 30, float.MinValue }, { 7, 1e4f, 20 }, { 2, 1, 100 }, { 256, 1e30f, 0 } };

    [Theory, MemberData(nameof(Cases))]
    public void Weights_are_powers_of_e_relative_to_the_largest_so_far(int keys, float spread, float before)
    {
        // Row 3 sees no key.
        float[] scores = [.. AttentionTests.Gaussian(keys * Rows, keys).Select((x, i) => i % 7 == 0 || i % Rows == 3 ? float.NegativeInfinity : x * spread)];
        foreach (WideWeights? weights in Implementations()) Check(weights, scores, keys, before, total: before == float.MinValue ? 0 : 3);
    }

    [Fact]
    public void What_is_no_number_does_not_vanish()
    {
        const int keys = 9;
        for (int at = 0; at < keys; at++)
            foreach (WideWeights? weights in Implementations())
            {
                float[] scores = AttentionTests.Gaussian(keys * Rows, at), largest = new float[Rows], total = new float[Rows], sums = new float[SumLines * Rows];
                scores[at * Rows + 2] = float.NaN;
                Weigh(weights, scores, largest, total, sums);
                Assert.True(float.IsNaN(total[2]), $"{weights} {at}");
                Assert.False(float.IsNaN(total[1]), $"{weights} {at}");
            }
    }

    private static IEnumerable<WideWeights?> Implementations() => [null, WideWeights.Instance, .. new[] { false, true }.Select(Emulator.Weights)];

    private static void Check(WideWeights? code, float[] scores, int keys, float before, float total)
    {
        float[] weights = [.. scores], largest = [.. Enumerable.Repeat(before, Rows)], totals = [.. Enumerable.Repeat(total, Rows)];
        float[] sumsBefore = AttentionTests.Gaussian(SumLines * Rows, keys), sums = [.. sumsBefore];
        Weigh(code, weights, largest, totals, sums);
        for (int r = 0; r < Rows; r++)
        {
            float most = Math.Max(before, Enumerable.Range(0, keys).Max(j => scores[j * Rows + r]));
            Assert.Equal(most, largest[r]);
            double shrink = Math.Exp((double)before - most), sum = total * shrink;
            for (int j = 0; j < keys; j++)
            {
                // The difference is rounded to single precision before it becomes an exponent.
                double weight = Math.Exp(scores[j * Rows + r] - most);
                Assert.Equal(weight, weights[j * Rows + r], 2.5e-7 * weight + 2e-38);
                sum += weight;
            }
            Assert.Equal(sum, totals[r], 1e-6 * sum);
            for (int i = 0; i < SumLines; i++) Assert.Equal(sumsBefore[i * Rows + r] * shrink, sums[i * Rows + r], 4e-7 * Math.Abs(sumsBefore[i * Rows + r]) * shrink + 2e-38);
        }
    }

    private static void Weigh(WideWeights? code, float[] scores, float[] largest, float[] total, float[] sums)
    {
        fixed (float* s = scores, l = largest, t = total, u = sums)
            Attention.Weigh(code, new WideWeights.Arguments { Scores = s, Keys = scores.Length / Rows, Largest = l, Total = t, Sums = u, SumLines = SumLines });
    }
}
