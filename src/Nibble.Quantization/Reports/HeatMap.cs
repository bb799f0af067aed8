using System.Globalization;
using Nibble.Quantization.Recipes;
using static Nibble.Quantization.Reports.Markup;

namespace Nibble.Quantization.Reports;

/// <summary>The error of every linear layer's output: a row a kind of tensor, a column a layer of the network.</summary>
internal static class HeatMap
{
    private const double Left = 112, Top = 8, Right = 8, RowHeight = 30, Bottom = 44, Faintest = 0.06;

    /// <summary>A cell this wide has room for its number.</summary>
    private const double WidthOfNumber = 34;

    public static void Draw(Markup markup, Report report)
    {
        double[] all = [.. report.Compared.SelectMany(m => Cells(m)).Select(c => c.Error).Where(e => e > 0)];
        (double least, double most) = all.Length == 0 ? (0.001, 1) : (all.Min(), all.Max());
        markup.Element("div", () =>
        {
            foreach (ReportModel model in report.Compared) Draw(markup, model, least, most);
        }, ("class", "charts"));
    }

    private readonly record struct Cell(string Kind, int Layer, double Error, string Format);

    private static IEnumerable<Cell> Cells(ReportModel model) => model.Errors!.Tensors
        .Where(t => t.Output is not null && TensorRoles.LayerOf(t.Name + ".") >= 0)
        .Select(t => new Cell(t.Name.Split('.')[2], TensorRoles.LayerOf(t.Name + "."), t.Output!.Output, t.Format));

    private static void Draw(Markup markup, ReportModel model, double least, double most)
    {
        Cell[] cells = [.. Cells(model)];
        string[] kinds = [.. cells.Select(c => c.Kind).Distinct()];
        int layers = cells.Length == 0 ? 1 : cells.Max(c => c.Layer) + 1;
        double width = (Chart.Width - Left - Right) / layers, height = Top + kinds.Length * RowHeight + Bottom;
        markup.Element("figure", () =>
        {
            markup.Text("h3", model.Name);
            markup.Element("svg", () =>
            {
                foreach (Cell cell in cells) Draw(markup, cell, width, Array.IndexOf(kinds, cell.Kind), least, most);
                for (int k = 0; k < kinds.Length; k++) Label(markup, Left - 7, Top + (k + 0.5) * RowHeight + 4, kinds[k], "tick end");
                int step = Math.Max(1, (layers + 11) / 12);
                for (int l = 0; l < layers; l += step)
                    Label(markup, Left + (l + 0.5) * width, height - Bottom + 17, (l + 1).ToString(CultureInfo.InvariantCulture), "tick middle");
                Label(markup, (Left + Chart.Width - Right) / 2, height - 8, "layer", "title middle");
            }, ("viewBox", $"0 0 {N(Chart.Width)} {N(height)}"), ("role", "img"), ("aria-label", $"error of the outputs of {model.Name} by tensor and layer"));
            string outside = string.Join(", ", model.Errors!.Tensors.Where(t => t.Output is not null && TensorRoles.LayerOf(t.Name + ".") < 0)
                .Select(t => $"{t.Name} {Percent(t.Output!.Output)}"));
            if (outside.Length > 0) markup.Text("figcaption", $"Outside the layers: {outside}.");
        }, ("class", "heatmap"));
    }

    private static void Draw(Markup markup, Cell cell, double width, int row, double least, double most)
    {
        double strength = cell.Error <= 0 ? 0 : most <= least ? 1 : Math.Log(cell.Error / least) / Math.Log(most / least);
        double x = Left + cell.Layer * width, y = Top + row * RowHeight;
        markup.Element("rect", () => markup.Text("title", $"layer {cell.Layer + 1}, {cell.Kind}, {cell.Format}: {Percent(cell.Error)}"),
            ("x", N(x + 0.5)), ("y", N(y + 0.5)), ("width", N(Math.Max(0.5, width - 1))), ("height", N(RowHeight - 1)), ("class", "heat"),
            ("fill-opacity", N(Faintest + (1 - Faintest) * Math.Clamp(strength, 0, 1))));
        if (width >= WidthOfNumber) Label(markup, x + width / 2, y + RowHeight / 2 + 4, Short(cell.Error), strength > 0.7 ? "over tick-size middle" : "tick-size middle");
    }

    private static void Label(Markup markup, double x, double y, string text, string style) =>
        markup.Text("text", text, ("x", N(x)), ("y", N(y)), ("class", style));

    /// <summary>Percent without the sign.</summary>
    private static string Short(double error) => (100 * error).ToString(error < 0.0995 ? "0.0" : "0", CultureInfo.InvariantCulture);

    public static string Percent(double error) => (100 * error).ToString(error < 0.01 ? "0.###" : "0.#", CultureInfo.InvariantCulture) + " %";
}
