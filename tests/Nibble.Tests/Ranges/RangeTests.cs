using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Quantization.Ranges;
using Nibble.Tests.Formats;

namespace Nibble.Tests.Ranges;

public class RangeTests
{
    public static TheoryData<string> Names => new(RangeRules.All.Select(r => r.Name));

    [Theory, MemberData(nameof(Names))]
    public void A_rule_is_found_by_its_name(string name) =>
        Assert.Equal(name, RangeRules.Parse(name.ToUpperInvariant()).Name);

    [Theory]
    [InlineData("widest")]
    [InlineData("percentile:30")]
    [InlineData("percentile:x")]
    [InlineData("mse:3")]
    public void A_rule_that_does_not_exist_is_refused(string name) =>
        Assert.Throws<UnusableInputException>(() => RangeRules.Parse(name));

    [Fact]
    public void Minimum_and_maximum_and_the_largest_magnitude()
    {
        float[] weights = [-1, 2, 0.5f];
        Assert.Equal((-1, 2), new MinMaxRange().Choose(weights, [], new Levels(16, symmetric: false)));
        Assert.Equal((-2, 2), new MinMaxRange().Choose(weights, [], new Levels(16, symmetric: true)));
        Assert.Equal((-2, 2), new AbsoluteMaximumRange().Choose(weights, [], new Levels(16, symmetric: false)));
    }

    [Fact]
    public void A_percentile_leaves_half_of_the_rest_on_each_side()
    {
        float[] weights = [.. Enumerable.Range(0, 1001).Select(i => (float)i)];
        DynamicRange range = RangeRules.Parse("percentile:99");
        Assert.Equal("percentile:99", range.Name);
        (float low, float high) = range.Choose(weights, [], new Levels(16, symmetric: false));
        Assert.Equal(5, low, 1e-3f);
        Assert.Equal(995, high, 1e-3f);
        (low, high) = range.Choose(weights, [], new Levels(16, symmetric: true));
        Assert.Equal(990, high, 1e-3f);
        Assert.Equal(-high, low);
    }

    [Theory]
    [InlineData(4, true)]
    [InlineData(8, true)]
    [InlineData(16, true)]
    [InlineData(4, false)]
    [InlineData(16, false)]
    public void The_search_comes_near_the_best_of_all_intervals(int count, bool symmetric)
    {
        for (int seed = 0; seed < 10; seed++)
        {
            float[] weights = Rows.Gaussian(64, seed);
            IQuantizerLevels levels = new Levels(count, symmetric);
            (float low, float high) = new MeanSquareRange().Choose(weights, [], levels);
            double found = levels.Error(weights, [], low, high);
            Assert.InRange(found, 0, 1.05 * BruteForce(weights, [], levels));
            (low, high) = new MinMaxRange().Choose(weights, [], levels);
            Assert.True(found <= levels.Error(weights, [], low, high));
        }
    }

    [Fact]
    public void Importance_moves_the_range_to_the_weights_that_matter()
    {
        float[] weights = Rows.Gaussian(64, seed: 1);
        weights[7] = 6;
        float[] importance = new float[64];
        Array.Fill(importance, 1);
        IQuantizerLevels levels = new Levels(8, symmetric: true);
        var rule = new ImportanceRange();
        importance[7] = 0;
        (_, float without) = rule.Choose(weights, importance, levels);
        importance[7] = 1e4f;
        (_, float with) = rule.Choose(weights, importance, levels);
        Assert.InRange(without, 1, 4);
        Assert.InRange(with, 5, 7);
        Assert.InRange(levels.Error(weights, importance, -with, with), 0, 1.05 * BruteForce(weights, importance, levels));
        Assert.Throws<UnusableInputException>(() => rule.Choose(weights, [], levels));
    }

    [Theory]
    [InlineData(16, 0)]
    [InlineData(16, 1)]
    [InlineData(256, 2)]
    public void Entropy_finds_the_threshold_of_least_divergence(int count, int seed)
    {
        float[] weights = [.. Rows.Gaussian(4096, seed)];
        weights[0] = 9;
        (float low, float high) = new EntropyRange().Choose(weights, [], new Levels(count, symmetric: true));
        Assert.Equal(-high, low);
        Assert.Equal(NaiveEntropyThreshold(weights, count / 2), high, 1e-4f);
        Assert.InRange(high, 1.5f, 7);
    }

    private static double BruteForce(float[] weights, float[] importance, IQuantizerLevels levels)
    {
        double best = double.PositiveInfinity;
        float min = weights.Min(), max = weights.Max(), reach = Math.Max(max, -min);
        for (int i = 1; i <= 200; i++)
        {
            if (levels.Symmetric) best = Math.Min(best, levels.Error(weights, importance, -reach * i / 200, reach * i / 200));
            else
                for (int j = 1; j <= 200; j++) best = Math.Min(best, levels.Error(weights, importance, min * i / 200, max * j / 200));
        }
        return best;
    }

    /// <summary>The published procedure, written down as plainly as it is told.</summary>
    private static float NaiveEntropyThreshold(float[] weights, int magnitudes)
    {
        const int Bins = 2048;
        float reach = weights.Max(Math.Abs);
        var histogram = new double[Bins];
        foreach (float w in weights) histogram[Math.Min(Bins - 1, (int)(Math.Abs(w) / (reach / Bins)))]++;
        (double Divergence, int Kept) best = (double.PositiveInfinity, Bins);
        for (int kept = magnitudes; kept <= Bins; kept += 8)
        {
            double[] p = histogram[..kept];
            p[^1] += histogram[kept..].Sum();
            var q = new double[kept];
            for (int m = 0; m < magnitudes; m++)
            {
                int[] bins = [.. Enumerable.Range(0, kept).Where(b => b >= kept * m / magnitudes && b < kept * (m + 1) / magnitudes)];
                int[] filled = [.. bins.Where(b => histogram[b] > 0)];
                foreach (int b in filled) q[b] = bins.Sum(x => histogram[x]) / filled.Length;
            }
            double sumP = p.Sum(), sumQ = q.Sum();
            double divergence = Enumerable.Range(0, kept).Where(b => p[b] > 0)
                .Sum(b => p[b] / sumP * Math.Log(p[b] / sumP / ((q[b] > 0 ? q[b] : 1) / sumQ)));
            if (divergence < best.Divergence) best = (divergence, kept);
        }
        return best.Kept * (reach / Bins);
    }

    /// <summary>Plain equal steps from low to high, with a level on each end.</summary>
    private sealed class Levels(int count, bool symmetric) : IQuantizerLevels
    {
        public int Count => count;
        public bool Symmetric => symmetric;

        public float Round(float weight, float low, float high)
        {
            float step = (high - low) / (count - 1);
            return step == 0 ? low : low + step * MathF.Round(Math.Clamp((weight - low) / step, 0, count - 1));
        }
    }
}
