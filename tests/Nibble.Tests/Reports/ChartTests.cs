using Nibble.Quantization.Reports;

namespace Nibble.Tests.Reports;

public class ChartTests
{
    [Fact]
    public void The_front_holds_the_models_that_no_smaller_one_equals() => Assert.Equal(
        [(2, 9), (4, 5), (8, 1)],
        QualityChart.Front([(8, 1), (4, 5), (4, 7), (2, 9), (5, 5), (16, 1), (3, 9.5)]));

    [Fact]
    public void A_loss_curve_is_read_as_it_was_written_and_one_that_is_none_is_refused()
    {
        LossPoint[] curve = [new(0, 0.5, 0, 3.25), new(30, 31.125, 1.5, 1.75)];
        Assert.Equal(curve, LossCurve.Read(LossCurve.Write(curve), "file"));
        Assert.Empty(LossCurve.Read("", "file"));
        foreach (string lie in (string[])["1:2:3", "a:b:c:d", "1:2:3:NaN"])
            Assert.Contains("no loss curve", Assert.Throws<Core.UnusableInputException>(() => LossCurve.Read(lie, "file")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_page_of_a_trained_model_shows_how_its_training_went()
    {
        var model = new ReportModel("trained", false, ["Linear2"], 1, 2, new Nibble.Quantization.Evaluation.Perplexity(20, 1, 3, 256), null, null);
        Assert.DoesNotContain("How training went", Page(model), StringComparison.Ordinal);
        Assert.Contains("update 30: held out 1.75", Page(model with { Curve = [new(0, 0, 0, 3), new(30, 1, 1.5, 1.75)] }), StringComparison.Ordinal);

        static string Page(ReportModel model)
        {
            using var stream = new MemoryStream();
            ReportPage.Write(new Report("text", 512, 1, 256, 512, [model]), stream);
            return System.Text.Encoding.UTF8.GetString(stream.ToArray());
        }
    }

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
