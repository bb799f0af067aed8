using System.Globalization;
using Nibble.Quantization.Evaluation;

namespace Nibble.Quantization.Reports;

/// <summary>How the error grows through the layers, and what each layer adds.</summary>
internal static class GrowthChart
{
    public static void Draw(Markup markup, Report report) => markup.Element("div", () =>
    {
        Draw(markup, report, "relative error of the hidden state", l => l.Relative);
        Draw(markup, report, "1 - cosine of the hidden state", l => 1 - l.Cosine);
        Draw(markup, report, "relative error of the layer alone", l => l.Own);
    }, ("class", "charts"));

    private static void Draw(Markup markup, Report report, string what, Func<LayerError, double> value)
    {
        ReportModel[] models = [.. report.Compared];
        int last = models.Max(m => m.Errors!.Layers.Count) - 1;
        Axis x = Axis.Linear("after layer", -0.3, last + 0.3);
        Axis y = Axis.LogarithmicAround(what, models.SelectMany(m => m.Errors!.Layers.Select(value)));
        int step = Math.Max(1, (last + 7) / 8);
        IEnumerable<(double, string)> ticks = Enumerable.Range(0, last + 1).Where(l => l % step == 0)
            .Select(l => ((double)l, l == 0 ? "in" : l.ToString(CultureInfo.InvariantCulture)));
        markup.Element("figure", () => Chart.Draw(markup, $"{what} after each layer", x, y, chart =>
        {
            foreach (ReportModel model in models)
            {
                int series = QualityChart.IndexOf(report, model);
                (double, double)[] points = [.. model.Errors!.Layers.Select(l => (l.Layer + 1.0, value(l)))];
                chart.Path(points, $"c{series % Palette.Colors}");
                foreach ((double layer, double error) in points)
                    chart.Mark(layer, error, series, string.Create(CultureInfo.InvariantCulture, $"{model.Name}, after layer {layer}: {error:G3}"));
            }
        }, ticks), ("class", "growth"));
    }
}
