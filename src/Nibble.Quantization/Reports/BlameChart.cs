using static Nibble.Quantization.Reports.Markup;

namespace Nibble.Quantization.Reports;

/// <summary>The tensors that are most to blame, as bars.</summary>
internal static class BlameChart
{
    private const int Most = 10;
    private const double Left = 150, Top = 6, RowHeight = 26, Right = 74;

    public static void Draw(Markup markup, Report report) => markup.Element("div", () =>
    {
        foreach (ReportModel model in report.Compared) Draw(markup, model, QualityChart.IndexOf(report, model));
    }, ("class", "charts"));

    private static void Draw(Markup markup, ReportModel model, int series)
    {
        ReportTensor[] worst = [.. model.Errors!.Tensors.Where(t => t.Output is { Blame: > 0 }).OrderByDescending(t => t.Output!.Blame).Take(Most)];
        double height = Top + Math.Max(1, worst.Length) * RowHeight + 4, width = Chart.Width - Left - Right;
        markup.Element("figure", () =>
        {
            markup.Text("h3", model.Name);
            if (worst.Length == 0) markup.Text("p", "No tensor differs from the reference's.");
            else
                markup.Element("svg", () =>
                {
                    for (int i = 0; i < worst.Length; i++)
                    {
                        double share = worst[i].Output!.Blame, y = Top + i * RowHeight, bar = width * share / worst[0].Output!.Blame;
                        markup.Text("text", worst[i].Name, ("x", N(Left - 7)), ("y", N(y + RowHeight / 2 + 4)), ("class", "tick end"));
                        markup.Empty("rect", ("x", N(Left)), ("y", N(y + 4)), ("width", N(bar)), ("height", N(RowHeight - 8)), ("class", $"c{series % Palette.Colors}"));
                        markup.Text("text", HeatMap.Percent(share), ("x", N(Left + bar + 5)), ("y", N(y + RowHeight / 2 + 4)), ("class", "tick"));
                    }
                }, ("viewBox", $"0 0 {N(Chart.Width)} {N(height)}"), ("role", "img"), ("aria-label", $"the tensors of {model.Name} that are most to blame"));
        }, ("class", "blame"));
    }
}
