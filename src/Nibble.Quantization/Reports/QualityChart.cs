using System.Globalization;

namespace Nibble.Quantization.Reports;

/// <summary>Quality against size: every model a mark, and a line through those that no other beats in both; what others reached beside it.</summary>
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
            if (diverges && report.Beside is { } beside) DrawBeside(markup, report, models, beside);
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

    /// <summary>Ours and theirs: mean KL divergence against the bytes of the files.</summary>
    private static void DrawBeside(Markup markup, Report report, ReportModel[] models, OtherResults beside)
    {
        const string What = "mean KL divergence, nats";
        Axis x = Axis.LinearAround("file, MB", models.Select(m => m.FileBytes / 1e6).Concat(beside.Results.Select(r => r.Bytes / 1e6)));
        Axis y = Axis.LogarithmicAround(What, models.Select(m => m.Divergence!.Mean).Concat(beside.Results.Select(r => r.Divergence)));
        markup.Element("figure", () => Chart.Draw(markup, $"{What} against bytes, ours and those of {beside.Name}", x, y, chart =>
        {
            chart.Path(Front(beside.Results.Select(r => (r.Bytes / 1e6, r.Divergence))).Select(p => (p.Bits, p.Loss)), "theirs");
            chart.Path(Front(models.Select(m => (m.FileBytes / 1e6, m.Divergence!.Mean))).Select(p => (p.Bits, p.Loss)), "front");
            foreach (OtherResult other in beside.Results)
                chart.Cross(other.Bytes / 1e6, other.Divergence, Tip(other.Name, other.Bytes, other.Divergence));
            foreach (ReportModel model in models)
                chart.Mark(model.FileBytes / 1e6, model.Divergence!.Mean, IndexOf(report, model), Tip(model.Name, model.FileBytes, model.Divergence.Mean));
        }), ("class", "quality beside"));

        static string Tip(string name, long bytes, double divergence) =>
            string.Create(CultureInfo.InvariantCulture, $"{name}: {bytes / 1e6:F2} MB, mean KL divergence {divergence:G4} nats");
    }

    public static int IndexOf(Report report, ReportModel model) => report.Models.TakeWhile(m => !ReferenceEquals(m, model)).Count();
}
