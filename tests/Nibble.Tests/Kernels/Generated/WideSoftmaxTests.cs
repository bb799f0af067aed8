using Nibble.Core.Kernels;
using Nibble.Core.Kernels.Generated;

namespace Nibble.Tests.Kernels.Generated;

/// <summary>The softmax of attention over few rows: portable, emulated, and run where the processor can, against double precision.</summary>
public sealed unsafe class WideSoftmaxTests
{
    public static TheoryData<int, float, float> Cases => new() { { 1, 1, float.MinValue }, { 4, 1, 0.5f }, { 8, 30, float.MinValue }, { 3, 1e4f, 20 }, { 2, 1, 100 }, { 5, 1e30f, 0 } };

    [Theory, MemberData(nameof(Cases))]
    public void Weights_are_powers_of_e_relative_to_the_largest_so_far(int rows, float spread, float before)
    {
        float[] scores = [.. AttentionTests.Gaussian(rows * Attention.KeyBlock, rows).Select((x, i) => i % 7 == 0 ? float.NegativeInfinity : x * spread)];
        foreach (WideSoftmax? softmax in Implementations()) Check(softmax, scores, rows, before, total: before == float.MinValue ? 0 : 3);
    }

    [Fact]
    public void A_row_that_sees_no_key_of_the_block_stays_as_it_is()
    {
        float[] scores = [.. Enumerable.Repeat(float.NegativeInfinity, Attention.KeyBlock)];
        foreach (WideSoftmax? softmax in Implementations())
            foreach (float before in (float[])[float.MinValue, -3, 7]) Check(softmax, scores, 1, before, total: 2);
    }

    [Fact]
    public void What_is_no_number_does_not_vanish()
    {
        for (int at = 0; at < Attention.KeyBlock; at++)
            foreach (WideSoftmax? softmax in (WideSoftmax?[])[null, WideSoftmax.Instance, Emulator.Softmax(windows: false)])
            {
                float[] scores = AttentionTests.Gaussian(Attention.KeyBlock, at), largest = [0], total = [1], shrink = [0];
                scores[at] = float.NaN;
                Weigh(softmax, scores, largest, total, shrink);
                Assert.True(float.IsNaN(total[0]), $"{softmax} {at}");
            }
    }

    private static IEnumerable<WideSoftmax?> Implementations() => [null, WideSoftmax.Instance, .. new[] { false, true }.Select(Emulator.Softmax)];

    private static void Check(WideSoftmax? softmax, float[] scores, int rows, float before, float total)
    {
        float[] weights = [.. scores], largest = [.. Enumerable.Repeat(before, rows)], totals = [.. Enumerable.Repeat(total, rows)], shrink = new float[rows];
        Weigh(softmax, weights, largest, totals, shrink);
        for (int r = 0; r < rows; r++)
        {
            float[] row = [.. scores.Skip(r * Attention.KeyBlock).Take(Attention.KeyBlock)];
            float most = Math.Max(before, row.Max());
            Assert.Equal(most, largest[r]);
            AssertClose(Math.Exp((double)before - most), shrink[r]);
            double sum = total * Math.Exp((double)before - most);
            for (int j = 0; j < row.Length; j++)
            {
                // The difference is rounded to single precision before it becomes an exponent.
                double weight = Math.Exp(row[j] - most);
                AssertClose(weight, weights[r * Attention.KeyBlock + j]);
                sum += weight;
            }
            Assert.Equal(sum, totals[r], 1e-6 * sum);
        }
    }

    /// <summary>To two units in the last place; below e to the -87, where singles end, 0 does.</summary>
    private static void AssertClose(double expected, float actual) => Assert.Equal(expected, actual, 2.5e-7 * expected + 2e-38);

    private static void Weigh(WideSoftmax? softmax, float[] scores, float[] largest, float[] total, float[] shrink)
    {
        fixed (float* s = scores, l = largest, t = total, h = shrink)
            Attention.Weigh(softmax, new WideSoftmax.Arguments { Scores = s, Largest = l, Total = t, Shrink = h, Rows = largest.Length });
    }
}
