namespace Nibble.Training.Tests;

public class TrainingTextTests
{
    private static TrainingText Text(long seed = 1) => new([.. Enumerable.Range(0, 1000)], null, 32, seed);

    [Fact]
    public void A_batch_depends_on_its_number_and_the_seed_alone()
    {
        TrainingText one = Text(), other = Text();
        _ = other.Batch(3, 4);
        Assert.Equal(one.Batch(9, 4), other.Batch(9, 4));
        Assert.NotEqual(one.Batch(9, 4), Text(2).Batch(9, 4));
        Assert.NotEqual(one.Batch(9, 4), one.Batch(10, 4));
    }

    [Fact]
    public void The_last_twentieth_is_held_out_and_never_trained_on()
    {
        TrainingText text = Text();
        Assert.Equal(950, text.Tokens);
        Assert.Equal(950, text.HeldOut[0][0]);
        for (int number = 0; number < 100; number++)
            Assert.All(text.Batch(number, 4), piece => Assert.True(piece.Max() < 950));
    }

    [Fact]
    public void One_reading_takes_every_piece_once()
    {
        int[] starts = [.. Enumerable.Range(0, 28).Select(i => Text().Batch(i, 1)[0][0])];
        Assert.Equal(28, starts.Distinct().Count());
        Assert.All(starts.Order().Zip(starts.Order().Skip(1)), pair => Assert.Equal(32, pair.Second - pair.First));
    }

    [Theory]
    [InlineData(nameof(RateSchedule.Cosine))]
    [InlineData(nameof(RateSchedule.Wsd))]
    public void The_rate_rises_to_its_peak_and_falls_to_a_tenth(string name)
    {
        RateSchedule schedule = Enum.Parse<RateSchedule>(name);
        Assert.Equal(0.5, LearningRate.Factor(0.05, 0.1, schedule), 1e-9);
        Assert.Equal(1, LearningRate.Factor(0.1, 0.1, schedule), 1e-9);
        Assert.Equal(schedule == RateSchedule.Wsd ? 1 : 0.55, LearningRate.Factor(0.55, 0.1, schedule), 1e-9);
        Assert.Equal(0.1, LearningRate.Factor(1, 0.1, schedule), 1e-9);
    }

    [Fact]
    public void A_library_that_asks_for_a_newer_runtime_is_made_to_ask_for_an_older_one()
    {
        // The System V hash of "GLIBCXX_3.4.32" is 0x0297f842, that of "CXXABI_1.3" 0x056bafd3.
        byte[] library = [1, .. "\0_ZSt21ios_base_library_initv\0GLIBC\0GLIBCXX_3.4.32\0"u8, 2, 0x42, 0xF8, 0x97, 0x02, 3];
        byte[] changed = Libtorch.WithOlderFunction([.. library]);
        Assert.True(changed.AsSpan().IndexOf("\0__cxa_get_globals\0"u8) == 1);
        Assert.True(changed.AsSpan().IndexOf("\0CXXABI_1.3\0"u8) > 0);
        Assert.Equal([0xD3, 0xAF, 0x6B, 0x05, 3], changed[^5..]);
        Assert.Equal(library.Length, changed.Length);
        Assert.Throws<Core.UnusableInputException>(() => Libtorch.WithOlderFunction([1, 2, 3]));
    }
}
