using System.Globalization;
using System.Text.Json;
using System.Xml;
using System.Xml.Linq;
using Nibble.Core;
using Nibble.Quantization.Reports;
using Nibble.Tests.Files;
using Nibble.Tests.Golden;

namespace Nibble.Tests.Cli;

public sealed class ReportCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static readonly string[] Sections = ["size", "quality", "growth", "heat", "blame", "histogram", "tensors"];

    [Fact]
    public void The_page_has_every_section_loads_nothing_and_says_what_eval_says()
    {
        string q4 = Quantize("Q4_0", "a&b <q4>.gguf"), page = _folder.PathOf("page.html");
        JsonElement report = CommandRun.Of("report", EmbeddedModel.Folder, q4, "-o", page, "--context", "64", "--chunks", "2", "--json").Json;
        string html = File.ReadAllText(page);
        Assert.StartsWith("<!DOCTYPE html>", html, StringComparison.Ordinal);
        foreach (string load in (string[])["http:", "https:", "//", "<script", "<link", "<img", "@import", "url("]) Assert.DoesNotContain(load, html, StringComparison.OrdinalIgnoreCase);
        XElement body = Parse(html);
        Assert.Equal(Sections, body.Descendants("section").Select(s => s.Attribute("id")!.Value));
        Assert.All(body.Descendants("section").Skip(1).SkipLast(1), s => Assert.True(s.Descendants("svg").Any(), s.Attribute("id")!.Value));
        Assert.DoesNotContain("NaN", html, StringComparison.Ordinal);

        XElement[] rows = [.. body.Descendants("section").First().Descendants("tbody").Elements("tr")];
        Assert.Equal(["nibble-5m (reference)", "a&b <q4>"], rows.Select(r => r.Elements("td").First().Value));
        JsonElement eval = CommandRun.Of("eval", q4, "--reference", EmbeddedModel.Folder, "--context", "64", "--chunks", "2", "--json").Json;
        JsonElement inspect = CommandRun.Of("inspect", q4, "--json").Json;
        double[] numbers = [.. rows[1].Descendants("data").Select(d => double.Parse(d.Attribute("value")!.Value, CultureInfo.InvariantCulture))];
        Assert.Equal(
            [inspect.GetProperty("bytes").GetDouble(), inspect.GetProperty("bits_per_weight").GetDouble(),
                eval.GetProperty("perplexity").GetDouble(), eval.GetProperty("perplexity_error").GetDouble(),
                eval.GetProperty("kld").GetProperty("mean").GetDouble(), eval.GetProperty("kld").GetProperty("p99_9").GetDouble(), eval.GetProperty("top1_agreement").GetDouble()],
            numbers);
        Assert.Equal(numbers[2], report.GetProperty("models")[1].GetProperty("perplexity").GetDouble());
        Assert.Equal(1, report.GetProperty("models")[1].GetProperty("tensors").EnumerateArray().Sum(t => t.GetProperty("blame").ValueKind == JsonValueKind.Number ? t.GetProperty("blame").GetDouble() : 0), 1e-9);
    }

    [Fact]
    public void Levels_that_differ_from_group_to_group_are_drawn_at_their_means()
    {
        string page = _folder.PathOf("page.html");
        _ = CommandRun.Of("report", EmbeddedModel.Folder, Quantize("Log4", "log4"), "-o", page, "--context", "64", "--chunks", "1", "--tensor", "blk.0.ffn_down", "--json").Json;
        XElement histogram = Parse(File.ReadAllText(page)).Descendants("section").Single(s => s.Attribute("id")!.Value == "histogram");
        // A sign, seven magnitudes, and zero.
        Assert.Contains("15 levels in use", histogram.Value, StringComparison.Ordinal);
        Assert.Contains("drawn at their means", histogram.Value, StringComparison.Ordinal);
    }

    [Theory, InlineData("eval"), InlineData("report")]
    public void A_model_with_a_weight_that_is_no_number_is_unusable(string verb)
    {
        foreach (string file in Directory.EnumerateFiles(EmbeddedModel.Folder)) File.Copy(file, _folder.PathOf(Path.GetFileName(file)));
        string weights = Directory.EnumerateFiles(_folder.Path, "*.safetensors").Single();
        byte[] bytes = File.ReadAllBytes(weights);
        // In bfloat16, the last weight of the matrix that stands before the final norm of 256 numbers.
        (bytes[^514], bytes[^513]) = (0xC0, 0x7F);
        File.WriteAllBytes(weights, bytes);
        string[] output = verb == "report" ? ["-o", _folder.PathOf("page.html")] : [];
        CommandRun damaged = CommandRun.Of([verb, _folder.Path, "--reference", EmbeddedModel.Folder, "--context", "64", "--chunks", "1", .. output]);
        Assert.Contains("the model gives logits that are no finite numbers", damaged.ErrorLine(2), StringComparison.Ordinal);
        damaged = CommandRun.Of([verb, EmbeddedModel.Folder, "--reference", _folder.Path, "--context", "64", "--chunks", "1", .. output]);
        Assert.Contains("the reference gives logits that are no finite numbers", damaged.ErrorLine(2), StringComparison.Ordinal);
    }

    [Fact]
    public void What_others_reached_is_drawn_beside_it_against_bytes()
    {
        string q4 = Quantize("Q4_0", "q4.gguf"), page = _folder.PathOf("page.html"), table = _folder.PathOf("others.tsv");
        File.WriteAllText(table, "# another program\nrecipe\timportance\tbytes\tperplexity\tmean_kl\nA\tnone\t3000000\t20\t0.1\nB\tnone\t6000000\t19\t0.01\n");
        CommandRun.Of("report", EmbeddedModel.Folder, q4, "-o", page, "--context", "32", "--chunks", "1", "--beside", table);
        XElement figure = Parse(File.ReadAllText(page)).Descendants("figure").Single(f => f.Attribute("class")?.Value == "quality beside");
        Assert.Equal(["A (none): 3.00 MB, mean KL divergence 0.1 nats", "B (none): 6.00 MB, mean KL divergence 0.01 nats"],
            figure.Descendants("path").Where(p => p.Attribute("class")!.Value == "cross").Select(p => p.Value));
        string size = string.Create(CultureInfo.InvariantCulture, $"q4: {new FileInfo(q4).Length / 1e6:F2} MB");
        Assert.Single(figure.Descendants("path"), p => p.Attribute("class")!.Value.StartsWith("mark", StringComparison.Ordinal) && p.Value.StartsWith(size, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("recipe\tbytes\nA\t1\n", "line 1 names no column 'mean_kl'")]
    [InlineData("# x\nrecipe\tbytes\tmean_kl\nA\t1\n", "line 3 has 2 fields")]
    [InlineData("recipe\tbytes\tmean_kl\nA\tmany\t0.1\n", "line 2: bytes 'many'")]
    [InlineData("recipe\tbytes\tmean_kl\n", "has no rows")]
    public void A_table_that_cannot_be_read_is_refused(string table, string expected)
    {
        string message = Assert.Throws<UnusableInputException>(() => OtherResults.Parse("others.tsv", table)).Message;
        Assert.StartsWith("others.tsv: ", message, StringComparison.Ordinal);
        Assert.Contains(expected, message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_copy_of_the_model_shows_no_growth()
    {
        foreach (string file in Directory.EnumerateFiles(EmbeddedModel.Folder)) File.Copy(file, _folder.PathOf(Path.GetFileName(file)));
        string page = Path.Combine(Path.GetTempPath(), $"nibble-{Guid.NewGuid():N}.html");
        try
        {
            JsonElement report = CommandRun.Of("report", EmbeddedModel.Folder, _folder.Path, "-o", page, "--context", "32", "--chunks", "1", "--json").Json;
            Assert.All(report.GetProperty("models")[1].GetProperty("layers").EnumerateArray(), l => Assert.Equal(0, l.GetProperty("relative").GetDouble()));
            XElement body = Parse(File.ReadAllText(page));
            Assert.Empty(body.Descendants("section").Single(s => s.Attribute("id")!.Value == "growth").Descendants("polyline"));
            Assert.Contains("No tensor differs", body.Value, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(page);
        }
    }

    [Fact]
    public void One_model_alone_has_its_size_and_quality_only()
    {
        string page = _folder.PathOf("page.html");
        _ = CommandRun.Of("report", EmbeddedModel.Folder, "-o", page, "--context", "32", "--chunks", "1", "--json").Json;
        Assert.Equal(["size", "quality"], Parse(File.ReadAllText(page)).Descendants("section").Select(s => s.Attribute("id")!.Value));
        Assert.Contains("--force", CommandRun.Of("report", EmbeddedModel.Folder, "-o", page).ErrorLine(2), StringComparison.Ordinal);
    }

    [Fact]
    public void A_model_that_cannot_be_compared_is_refused_before_any_work()
    {
        string other = GoldenCheckpoint.Folder("qwen2"), page = _folder.PathOf("page.html");
        CommandRun run = CommandRun.Of("report", EmbeddedModel.Folder, other, "-o", page);
        Assert.Contains("qwen2", run.ErrorLine(2), StringComparison.Ordinal);
        Assert.False(File.Exists(page));
        Assert.Contains("blk.9.nothing", CommandRun.Of("report", EmbeddedModel.Folder, Quantize("Q4_0", "q4.gguf"), "-o", page, "--tensor", "blk.9.nothing").ErrorLine(2), StringComparison.Ordinal);
        Assert.Contains("itself", CommandRun.Of("report", EmbeddedModel.Folder, "--reference", EmbeddedModel.Folder, "-o", page).ErrorLine(2), StringComparison.Ordinal);
        Assert.Contains("itself", CommandRun.Of("report", EmbeddedModel.Folder, EmbeddedModel.Folder + "/", "-o", page).ErrorLine(2), StringComparison.Ordinal);
        Assert.Contains("--reference", CommandRun.Of("report", EmbeddedModel.Folder, "--tensor", "blk.0.ffn_down", "-o", page).ErrorLine(2), StringComparison.Ordinal);
        Assert.Contains("--beside takes", CommandRun.Of("report", EmbeddedModel.Folder, other, "--beside", "nowhere.tsv", "-o", page).ErrorLine(2), StringComparison.Ordinal);
        Assert.Contains("nowhere.txt", CommandRun.Of("report", EmbeddedModel.Folder, "--text", "nowhere.txt", "-o", page).ErrorLine(2), StringComparison.Ordinal);
        string empty = _folder.PathOf("empty.txt");
        File.WriteAllText(empty, "");
        Assert.Contains("less than one context", CommandRun.Of("report", EmbeddedModel.Folder, "--text", empty, "-o", page).ErrorLine(2), StringComparison.Ordinal);
    }

    private string Quantize(string recipe, string name)
    {
        string path = _folder.PathOf(name);
        _ = CommandRun.Of("quantize", EmbeddedModel.Folder, "--to", recipe, "-o", path, "--json").Json;
        return path;
    }

    /// <summary>The page is XML too.</summary>
    private static XElement Parse(string html)
    {
        using var reader = XmlReader.Create(new StringReader(html), new XmlReaderSettings { DtdProcessing = DtdProcessing.Ignore });
        return XDocument.Load(reader).Root!.Element("body")!;
    }

    public void Dispose() => _folder.Dispose();
}
