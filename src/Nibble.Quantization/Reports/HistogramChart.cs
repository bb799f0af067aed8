using System.Globalization;
using Nibble.Quantization.Evaluation;

namespace Nibble.Quantization.Reports;

/// <summary>The weights of the chosen tensor, and over them the levels that the quantizer gave them, each as high as it was used.</summary>
internal static class HistogramChart
{
    public static void Draw(Markup markup, Report report) => markup.Element("div", () =>
    {
        foreach (ReportModel model in report.Compared)
            if (model.Histogram is { } histogram) Draw(markup, model.Name, histogram);
    }, ("class", "charts"));

    private static void Draw(Markup markup, string model, WeightHistogram histogram)
    {
        int bins = histogram.Original.Count;
        double width = (histogram.To - histogram.From) / bins, tallest = histogram.Original.Max();
        Axis x = Axis.Linear(histogram.Axis, histogram.From, histogram.To), y = Axis.Linear("% of the weights", 0, 105 * tallest);
        // A level stands for all bins up to the middle between it and its neighbours.
        double most = histogram.Levels.Count == 0 ? 1 : histogram.Levels.Max(l => l.Share);
        markup.Element("figure", () =>
        {
            markup.Text("h3", $"{model}: {histogram.Tensor}, {histogram.Format}");
            Chart.Draw(markup, $"histogram of the weights of {histogram.Tensor} with the levels of {histogram.Format}", x, y, chart =>
            {
                for (int b = 0; b < bins; b++)
                    chart.Bar(histogram.From + b * width, histogram.From + (b + 1) * width, 100 * histogram.Original[b], "bars");
                foreach (Level level in histogram.Levels)
                {
                    double top = chart.Y(100 * tallest * level.Share / most), at = chart.X(level.Value);
                    chart.Line(at, Chart.Floor, at, top, "level");
                    chart.Tip(at, top, string.Create(CultureInfo.InvariantCulture, $"level {level.Value:G4}: {100 * level.Share:F2} % of the weights"));
                }
            });
            markup.Text("figcaption", histogram.Levels.Count == 0
                ? "The levels of this format lie too close to be drawn."
                : string.Create(CultureInfo.InvariantCulture, $"{histogram.Levels.Count} levels in use; the fullest holds {100 * most:F1} % of the weights.")
                    + (histogram.LevelsAreMeans ? " Each group has levels of its own; they are drawn at their means." : ""));
        }, ("class", "histogram"));
    }
}
