using System.Globalization;
using System.Text;
using System.Text.Json.Serialization;
using Nibble.Core.Formats;
using Nibble.Quantization;
using Nibble.Quantization.Evaluation;
using Nibble.Quantization.Recipes;
using Spectre.Console;

namespace Nibble.Cli.Commands;

/// <summary>A table of formats, and what each made of one model.</summary>
internal sealed record CompareResult(
    string Model, long Bytes, double BitsPerWeight, double Perplexity, int Chunks, int Context, bool Pure, IReadOnlyList<CompareRow> Rows)
{
    private static readonly string[] Headers =
        ["format", "range", "bytes", "bits per weight", "relative error %", "perplexity", "mean KL", "99.9 % KL", "top-1 %"];

    /// <summary>For a terminal of 80 columns: shorter words, and no column for ranges where none was asked for.</summary>
    public Table Table()
    {
        Table table = new Table().Border(TableBorder.Simple).AddColumn("format");
        bool hasRanges = Rows.Any(r => r.Range is not null);
        if (hasRanges) table.AddColumn("range");
        foreach (string header in (string[])["size", "bits", "error %", "perplexity", "mean KL", "99.9 % KL", "top-1 %"])
            table.AddColumn(new TableColumn(header).RightAligned().NoWrap());
        foreach (TableColumn column in table.Columns) column.PadRight(0);
        foreach (CompareRow row in Rows)
        {
            string[] cells = row.Cells();
            table.AddRow([Spectre.Console.Markup.Escape(row.Format), .. hasRanges ? [row.Range ?? ""] : Array.Empty<string>(), Quantity.Bytes(row.Bytes), .. cells[3..]]);
        }
        return table;
    }

    public string Markdown()
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"| {string.Join(" | ", Headers)} |\n|---|---|{string.Concat(Enumerable.Repeat("---:|", Headers.Length - 2))}\n");
        foreach (CompareRow row in Rows) text.Append(CultureInfo.InvariantCulture, $"| {string.Join(" | ", row.Cells())} |\n");
        return text.ToString();
    }
}

internal sealed record CompareRow(
    string Format, string Family, string? Range, long Bytes, double BitsPerWeight, double RelativeMse, double Perplexity, double PerplexityError,
    double ReferencePerplexity, KldResult Kld, [property: JsonPropertyName("top1_agreement")] double Top1Agreement, double Seconds)
{
    public static CompareRow Of(
        Recipe recipe, DynamicRange? range, InspectResult model, IReadOnlyList<QuantizedTensor> tensors, EvaluationResult measured, double seconds) => new(
        recipe.Name, Core.Formats.Format.Parse(recipe.Default).Family.ToString().ToLowerInvariant(), range?.Name, model.Bytes, model.BitsPerWeight, MeanError(tensors),
        measured.Model.Value, measured.Model.Error, measured.Reference!.Value, KldResult.Of(measured.Divergence)!, measured.Divergence!.Top1Agreement, seconds);

    /// <summary>Mean over the weights that were rounded.</summary>
    private static double MeanError(IReadOnlyList<QuantizedTensor> tensors)
    {
        QuantizedTensor[] rounded = [.. tensors.Where(t => t.Error.RelativeMse > 0)];
        double weights = rounded.Sum(t => (double)t.Plan.Tensor.Elements);
        return weights == 0 ? 0 : rounded.Sum(t => t.Error.RelativeMse * t.Plan.Tensor.Elements) / weights;
    }

    public string[] Cells() =>
    [
        Format, Range ?? "", $"{Bytes}", $"{BitsPerWeight:F3}", $"{100 * RelativeMse:F3}", $"{Perplexity:F3}", $"{Kld.Mean:F5}",
        $"{Kld.P999:F3}", $"{100 * Top1Agreement:F2}",
    ];
}
