using Nibble.Core;
using Nibble.Models.Sampling;
using Nibble.Tests.Memory;

namespace Nibble.Tests.Sampling;

public class SamplerTests
{
    private static readonly SamplingOptions Pure = new() { Temperature = 1, TopK = 0, TopP = 1, MinP = 0, Seed = 7 };

    // Probabilities 0.5, 0.25, 0.125, 0.0625, 0.0625 in an order that is not theirs.
    private static readonly float[] Logits = [.. new[] { 0.0625, 0.5, 0.125, 0.25, 0.0625 }.Select(p => (float)Math.Log(p) + 3)];

    [Fact]
    public void Greedy_takes_the_first_of_the_largest()
    {
        var sampler = new Sampler(SamplingOptions.Greedy, 4);
        Assert.Equal(1, sampler.Next([1, 5, 5, float.NaN]));
        Assert.Equal(3, sampler.Next([float.NegativeInfinity, float.NaN, -3, -2]));
    }

    [Fact]
    public void Temperature_one_draws_the_models_distribution() => Expect(Pure, 0.0625, 0.5, 0.125, 0.25, 0.0625);

    [Fact]
    public void A_low_temperature_sharpens_it() =>
        Expect(Pure with { Temperature = 0.5 }, 1 / 86.0, 64 / 86.0, 4 / 86.0, 16 / 86.0, 1 / 86.0);

    [Fact]
    public void Top_k_keeps_the_k_most_probable() => Expect(Pure with { TopK = 2 }, 0, 2 / 3.0, 0, 1 / 3.0, 0);

    [Fact]
    public void Top_p_keeps_the_fewest_that_reach_it() => Expect(Pure with { TopP = 0.8 }, 0, 4 / 7.0, 1 / 7.0, 2 / 7.0, 0);

    [Fact]
    public void Top_p_counts_what_top_k_left() =>
        // Of the three left (4/7, 2/7, 1/7), two reach 0.8.
        Expect(Pure with { TopK = 3, TopP = 0.8 }, 0, 2 / 3.0, 0, 1 / 3.0, 0);

    [Fact]
    public void Min_p_keeps_a_fraction_of_the_most_probable() => Expect(Pure with { MinP = 0.2 }, 0, 4 / 7.0, 1 / 7.0, 2 / 7.0, 0);

    [Fact]
    public void Top_p_and_min_p_cut_before_the_temperature() =>
        Expect(Pure with { MinP = 0.2, TopP = 0.9, Temperature = 100 }, 0, 1 / 3.0, 1 / 3.0, 1 / 3.0, 0, tolerance: 0.03);

    [Fact]
    public void The_repetition_penalty_divides_positive_and_multiplies_negative_logits_once_each()
    {
        var sampler = new Sampler(SamplingOptions.Greedy with { RepetitionPenalty = 2, RepetitionWindow = 3 }, 4);
        sampler.Observe(0);
        sampler.Observe(0);
        Assert.Equal(1, sampler.Next([4, 2.5f, 0, -1]));             // 4 / 2 < 2.5
        Assert.Equal(3, sampler.Next([-6, -4, -9, -7]));             // -12, -8, -9, -7
        Assert.Equal(0, sampler.Next([6, -9, -9, 5]));               // 6 / 2 > 5 / 2
        Assert.Equal(3, sampler.Next([1, 1.5f, 0, 2]));              // 0, 1 and 3 are in the window
        Assert.Equal(1, sampler.Next([1, 1.5f, 0, 2]));              // 1 has left it
    }

    [Fact]
    public void The_same_seed_gives_the_same_tokens_and_another_gives_others()
    {
        int[] Draw(ulong seed)
        {
            var sampler = new Sampler(Pure with { Seed = seed }, Logits.Length);
            return [.. Enumerable.Range(0, 64).Select(_ => sampler.Next(Logits))];
        }
        Assert.Equal(Draw(1), Draw(1));
        Assert.NotEqual(Draw(1), Draw(2));
    }

    [Fact]
    public void The_generator_is_xoshiro256_starstar()
    {
        // From the authors' C code, splitmix64 seeded with 0 and then four draws.
        var random = new Xoshiro256(0);
        ulong[] drawn = [random.Next(), random.Next(), random.Next(), random.Next()];
        Assert.Equal([0x99EC5F36CB75F2B4UL, 0xBF6E1F784956452AUL, 0x1A5F849D4933E6E0UL, 0x6AA594F1262D2D2CUL], drawn);
    }

    [Fact]
    public void Drawing_allocates_nothing()
    {
        var sampler = new Sampler(new SamplingOptions { RepetitionPenalty = 1.1 }, 32000);
        var random = new Random(1);
        float[] logits = [.. Enumerable.Range(0, 32000).Select(_ => (float)random.NextDouble() * 20)];
        sampler.Next(logits);
        Assert.Equal(0, Allocations.Of(() =>
        {
            for (int i = 0; i < 20; i++) sampler.Next(logits);
        }));
    }

    [Fact]
    public void Its_exponential_is_the_exponential()
    {
        for (double x = 0; x > -700; x -= 0.37) Assert.Equal(1, Exponential.Of(x) / Math.Exp(x), 1e-14);
        Assert.Equal(0, Exponential.Of(double.NegativeInfinity));
        Assert.Equal(0, Exponential.Of(double.NaN));
    }

    [Fact]
    public void Options_outside_their_range_are_refused_in_one_line()
    {
        SamplingOptions[] wrong =
        [
            Pure with { Temperature = -1 }, Pure with { Temperature = double.NaN }, Pure with { TopK = -1 }, Pure with { TopP = 0 },
            Pure with { TopP = 1.1 }, Pure with { MinP = -0.1 }, Pure with { RepetitionPenalty = 0 }, Pure with { RepetitionWindow = -1 },
        ];
        Assert.All(wrong, o => Assert.DoesNotContain('\n', Assert.Throws<UnusableInputException>(() => new Sampler(o, 2)).Message));
    }

    [Theory, InlineData(float.NaN), InlineData(float.NegativeInfinity), InlineData(float.PositiveInfinity)]
    public void Logits_without_a_largest_number_are_an_error(float value) =>
        Assert.Throws<UnusableInputException>(() => new Sampler(Pure, 2).Next([value, value]));

    /// <summary>Fewer would be drawn from among those of the call before.</summary>
    [Theory, InlineData(1), InlineData(3)]
    public void Logits_of_another_vocabulary_are_refused(int count) =>
        Assert.Throws<ArgumentException>(() => new Sampler(Pure, 2).Next(new float[count]));

    private static void Expect(SamplingOptions options, double a, double b, double c, double d, double e, double tolerance = 0.02)
    {
        double[] expected = [a, b, c, d, e];
        var counts = new int[expected.Length];
        var sampler = new Sampler(options, Logits.Length);
        const int draws = 20_000;
        for (int i = 0; i < draws; i++) counts[sampler.Next(Logits)]++;
        for (int i = 0; i < counts.Length; i++)
        {
            Assert.Equal(expected[i], counts[i] / (double)draws, tolerance);
            if (expected[i] == 0) Assert.Equal(0, counts[i]);
        }
    }
}
