using Nibble.Quantization.Reports;

namespace Nibble.Tests.Reports;

public class ChartTests
{
    [Fact]
    public void The_front_holds_the_models_that_no_smaller_one_equals() => Assert.Equal(
        [(2, 9), (4, 5), (8, 1)],
        QualityChart.Front([(8, 1), (4, 5), (4, 7), (2, 9), (5, 5), (16, 1), (3, 9.5)]));

    [Fact]
    public void Ticks_are_round_and_within_the_axis()
    {
        Assert.Equal([20, 40, 60, 80, 100], Axis.Linear("", 3, 103).Ticks());
        Assert.Equal([0, 0.2, 0.4, 0.6, 0.8, 1], Axis.Linear("", 0, 1).Ticks());
        Assert.Equal([0.001, 0.01, 0.1, 1], Axis.LogarithmicAround("", [0.0012, 0.9]).Ticks().Select(t => Math.Round(t, 9)));
        Assert.Equal([1, 2, 3, 5], Axis.LogarithmicAround("", [1.4, 4]).Ticks().Select(t => Math.Round(t, 9)));
    }

    [Fact]
    public void Places_run_from_one_end_to_the_other()
    {
        Axis axis = Axis.LogarithmicAround("", [0, 0.01, 1]);
        Assert.Equal((0, 0.5, 1), (axis.Place(axis.From), Math.Round(axis.Place(0.1), 9), axis.Place(axis.To)));
        Assert.False(axis.Shows(0));
    }

    [Theory]
    [InlineData(0, "0")]
    [InlineData(0.25, "0.25")]
    [InlineData(0.001, "0.001")]
    [InlineData(0.0001, "1e-4")]
    [InlineData(20, "20")]
    [InlineData(2000000, "2e6")]
    public void Numbers_are_short(double value, string text) => Assert.Equal(text, Axis.Text(value));
}
