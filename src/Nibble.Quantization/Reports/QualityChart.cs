using System.Globalization;

namespace Nibble.Quantization.Reports;

/// <summary>Quality against size: every model a mark, and a line through those that no other beats in both.</summary>
internal static class QualityChart
{
    /// <summary>
    /// The models that no other equals at fewer bits or beats at as many, by ascending bits: the Pareto front.
    /// </summary>
    public static IReadOnlyList<(double Bits, double Loss)> Front(IEnumerable<(double Bits, double Loss)> models)
    {
        var front = new List<(double Bits, double Loss)>();
        foreach ((double bits, double loss) in models.OrderBy(m => m.Bits).ThenBy(m => m.Loss))
            if (front.Count == 0 || loss < front[^1].Loss) front.Add((bits, loss));
        return front;
    }

    public static void Draw(Markup markup, Report report)
    {
        bool diverges = report.Compared.Any();
        ReportModel[] models = diverges ? [.. report.Models.Where(m => m.Divergence is not null)] : [.. report.Models];
        markup.Element("div", () =>
        {
            if (diverges) Draw(markup, report, models, "mean KL divergence, nats", m => m.Divergence!.Mean, logarithmic: true);
            Draw(markup, report, [.. report.Models], "perplexity", m => m.Perplexity.Value, logarithmic: false);
        }, ("class", "charts"));
    }

    private static void Draw(Markup markup, Report report, ReportModel[] models, string what, Func<ReportModel, double> loss, bool logarithmic)
    {
        double[] losses = [.. models.Select(loss)];
        Axis x = Axis.LinearAround("bits per weight", models.Select(m => m.BitsPerWeight));
        Axis y = logarithmic ? Axis.LogarithmicAround(what, losses) : Axis.LinearAround(what, losses);
        markup.Element("figure", () => Chart.Draw(markup, $"{what} against bits per weight", x, y, chart =>
        {
            chart.Path(Front(models.Select(m => (m.BitsPerWeight, loss(m)))).Select(p => (p.Bits, p.Loss)), "front");
            foreach (ReportModel model in models)
            {
                int series = IndexOf(report, model);
                string value = string.Create(CultureInfo.InvariantCulture, $"{model.Name}: {model.BitsPerWeight:F2} bits, {what} {loss(model):G4}");
                chart.Mark(model.BitsPerWeight, loss(model), series, value);
            }
        }), ("class", "quality"));
    }

    public static int IndexOf(Report report, ReportModel model) => report.Models.TakeWhile(m => !ReferenceEquals(m, model)).Count();
}
