using System.Globalization;
using System.Text;
using System.Xml;

namespace Nibble.Quantization.Reports;

/// <summary>Writes a report as one HTML page that needs nothing else: no script, no font, no picture, no network.</summary>
public sealed class ReportPage
{
    private readonly Report _report;
    private readonly Markup _markup;

    private ReportPage(Report report, Markup markup) => (_report, _markup) = (report, markup);

    /// <param name="stream">Gets UTF-8; is left open.</param>
    public static void Write(Report report, Stream stream)
    {
        var settings = new XmlWriterSettings { OmitXmlDeclaration = true, Encoding = new UTF8Encoding(false), CloseOutput = false, Indent = false, CheckCharacters = false };
        stream.Write("<!DOCTYPE html>\n"u8);
        using var writer = XmlWriter.Create(stream, settings);
        new ReportPage(report, new Markup(writer)).Write();
    }

    private string Title => "Nibble report: " + _report.Models[0].Name;

    private void Write() => _markup.Element("html", () =>
    {
        _markup.Element("head", () =>
        {
            _markup.Empty("meta", ("charset", "utf-8"));
            _markup.Empty("meta", ("name", "viewport"), ("content", "width=device-width, initial-scale=1"));
            _markup.Text("title", Title);
            _markup.Element("style", () => _markup.Raw(Palette.Style));
        });
        _markup.Element("body", Body);
    }, ("lang", "en"));

    private void Body()
    {
        _markup.Text("h1", Title);
        _markup.Text("p", Invariant(
            $"Measured on {_report.Text}: {_report.Chunks} chunks of {_report.Context} tokens, the second half of each scored ({_report.Tokens} tokens), as 'nibble eval' does. Nibble {_report.Version}."),
            ("class", "soft"));
        Section("size", "Size and quality", _report.Reference is { } reference
            ? $"KL divergence is that from {reference.Name}, in nats a token. Bold is the best of a column, the reference left out."
            : "Give a reference to see how far each model lies from the one it was made from.", Sizes);
        Section("quality", "Quality against bits per weight", "The dashed line is the Pareto front: models on it are beaten by no other that is as small.", () =>
        {
            Legend(_report.Models);
            QualityChart.Draw(_markup, _report);
            if (_report.Beside is { } beside && _report.Compared.Any())
                _markup.Text("p", $"Crosses and the solid line: {beside.Name}, as its makers measured it{(beside.Remark.Length > 0 ? $" ({beside.Remark})" : "")}. Only figures of the same text and as many chunks compare.", ("class", "soft"));
        });
        if (_report.Models.Any(m => m.Curve.Count > 0))
            Section("training", "How training went", "Lines: the loss on the text, a mean since the mark before. Marks: the loss on its held-out part, whose best weights were kept.", () =>
            {
                Legend(_report.Models.Where(m => m.Curve.Count > 0));
                LossChart.Draw(_markup, _report);
            });
        if (!_report.Compared.Any()) return;
        string measured = Invariant($"On {_report.LayerTokens} tokens, both models with float32 activations, so that only the weights differ.");
        Section("growth", "Error growth through the layers",
            $"{measured} The first two charts show what has accumulated up to a layer; the third what the layer alone does to the reference's state.", () =>
            {
                Legend(_report.Compared);
                GrowthChart.Draw(_markup, _report);
            });
        Section("heat", "Error by layer and kind of tensor",
            "Percent: the relative error of the tensor's own output, on the inputs it has in the reference. All maps share one logarithmic scale.", () => HeatMap.Draw(_markup, _report));
        Section("blame", "Which tensors are to blame",
            "The share of the error power that a tensor puts into the residual stream (the head: into the logits) when it alone is replaced in the reference; first order.",
            () => BlameChart.Draw(_markup, _report));
        Section("histogram", "Weights and levels", "Grey: the original weights. Lines: the values they became, as high as their share.", () => HistogramChart.Draw(_markup, _report));
        Section("tensors", "Every tensor", "Entropy is in bits a code: what an ideal entropy coder would need.", Tensors);
    }

    private void Section(string id, string title, string explanation, Action content) => _markup.Element("section", () =>
    {
        _markup.Text("h2", title);
        _markup.Text("p", explanation, ("class", "soft"));
        content();
    }, ("id", id));

    private void Legend(IEnumerable<ReportModel> models) => _markup.Element("ul", () =>
    {
        foreach (ReportModel model in models)
            _markup.Element("li", () =>
            {
                int series = QualityChart.IndexOf(_report, model);
                _markup.Element("svg", () => _markup.Empty("path", ("d", Chart.Shape(series, 7, 7, 4.5)), ("class", $"c{series % Palette.Colors}")),
                    ("viewBox", "0 0 14 14"), ("aria-hidden", "true"));
                _markup.Write(model.Name);
            });
    }, ("class", "legend"));

    private void Sizes() => Table(["model", "formats", "size", "bits/weight", "perplexity", "±", "KL mean", "KL 99.9 %", "same top token"], () =>
    {
        foreach (ReportModel m in _report.Models)
            _markup.Element("tr", () =>
            {
                _markup.Text("td", m.IsReference ? $"{m.Name} (reference)" : m.Name);
                _markup.Text("td", string.Join(" ", m.Formats));
                Number(m.Bytes, Invariant($"{m.Bytes / 1e6:F2} MB"), IsBest(m, x => x.Bytes));
                Number(m.BitsPerWeight, Invariant($"{m.BitsPerWeight:F2}"), IsBest(m, x => x.BitsPerWeight));
                Number(m.Perplexity.Value, Invariant($"{m.Perplexity.Value:F3}"), IsBest(m, x => x.Perplexity.Value));
                Number(m.Perplexity.Error, Invariant($"{m.Perplexity.Error:F3}"), false);
                Number(m.Divergence?.Mean, Invariant($"{m.Divergence?.Mean:F5}"), IsBest(m, x => x.Divergence?.Mean));
                Number(m.Divergence?.P999, Invariant($"{m.Divergence?.P999:F3}"), IsBest(m, x => x.Divergence?.P999));
                Number(m.Divergence?.Top1Agreement, Invariant($"{100 * m.Divergence?.Top1Agreement:F2} %"), IsBest(m, x => -x.Divergence?.Top1Agreement));
            });
    });

    private bool IsBest(ReportModel model, Func<ReportModel, double?> value)
    {
        ReportModel[] others = [.. _report.Models.Where(m => !m.IsReference)];
        return !model.IsReference && others.Length > 1 && value(model) == others.Min(value);
    }

    private void Tensors()
    {
        foreach (ReportModel model in _report.Compared)
            _markup.Element("details", () =>
            {
                _markup.Text("summary", model.Name);
                Table(["tensor", "format", "size", "relative MSE", "SQNR dB", "largest error", "clipped", "codes used", "entropy", "output error", "blame"], () =>
                {
                    foreach (ReportTensor tensor in model.Errors!.Tensors) Row(tensor);
                });
            });
    }

    private void Row(ReportTensor t) => _markup.Element("tr", () =>
    {
        _markup.Text("td", t.Name);
        _markup.Text("td", t.Format);
        Number(t.Bytes, Invariant($"{t.Bytes / 1e3:F1} kB"), false);
        Number(t.Weights.RelativeMse, Invariant($"{t.Weights.RelativeMse:G3}"), false);
        Number(double.IsFinite(t.Weights.SqnrDecibel) ? t.Weights.SqnrDecibel : null, Invariant($"{t.Weights.SqnrDecibel:F1}"), false);
        Number(t.Weights.MaxError, Invariant($"{t.Weights.MaxError:G3}"), false);
        Number(t.Weights.ClippedShare, HeatMap.Percent(t.Weights.ClippedShare), false);
        Number(t.Weights.CodesUsed, HeatMap.Percent(t.Weights.CodesUsed ?? 0), false);
        Number(t.Weights.CodeEntropy, Invariant($"{t.Weights.CodeEntropy:F2}"), false);
        Number(t.Output?.Output, HeatMap.Percent(t.Output?.Output ?? 0), false);
        Number(t.Output?.Blame, HeatMap.Percent(t.Output?.Blame ?? 0), false);
    });

    private void Table(string[] heads, Action rows) => _markup.Element("div", () => _markup.Element("table", () =>
    {
        _markup.Element("thead", () => _markup.Element("tr", () =>
        {
            foreach (string head in heads) _markup.Text("th", head);
        }));
        _markup.Element("tbody", rows);
    }), ("class", "wide"));

    /// <summary>A cell with a number: rounded to be read, and exact for a program that reads the page.</summary>
    private void Number(double? value, string text, bool best) => _markup.Element("td", () =>
    {
        if (value is { } number) _markup.Text("data", text, ("value", number.ToString("R", CultureInfo.InvariantCulture)));
        else _markup.Write("–");
    }, ("class", best ? "best" : "number"));

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
