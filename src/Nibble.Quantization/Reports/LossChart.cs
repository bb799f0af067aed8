using System.Globalization;

namespace Nibble.Quantization.Reports;

/// <summary>How models were trained: a line for the loss on the text, marks for that on the held-out part of it.</summary>
internal static class LossChart
{
    public static void Draw(Markup markup, Report report)
    {
        ReportModel[] models = [.. report.Models.Where(m => m.Curve.Count > 0)];
        Axis x = Axis.LinearAround("updates", models.SelectMany(m => m.Curve.Select(p => (double)p.Step)));
        Axis y = Axis.LogarithmicAround("loss, nats", models.SelectMany(m => m.Curve.SelectMany(p => p.Step == 0 ? [p.HeldOut] : (double[])[p.Loss, p.HeldOut])));
        markup.Element("div", () => markup.Element("figure", () => Chart.Draw(markup, "loss against updates", x, y, chart =>
        {
            foreach (ReportModel model in models)
            {
                int series = QualityChart.IndexOf(report, model);
                chart.Path(model.Curve.Where(p => p.Step > 0).Select(p => ((double)p.Step, p.Loss)), $"c{series % Palette.Colors}");
                foreach (LossPoint p in model.Curve)
                    chart.Mark(p.Step, p.HeldOut, series, string.Create(CultureInfo.InvariantCulture, $"{model.Name}, update {p.Step}: held out {p.HeldOut:G4}, training {p.Loss:G4}"));
            }
        }), ("class", "growth")), ("class", "charts"));
    }
}
