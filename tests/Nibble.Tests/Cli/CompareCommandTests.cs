using System.Text.Json;
using Nibble.Tests.Files;

namespace Nibble.Tests.Cli;

public sealed class CompareCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public void A_grid_is_measured_as_eval_measures_each_and_the_table_is_saved()
    {
        string table = _folder.PathOf("table.md"), packed = _folder.PathOf("packed");
        string[] measure = ["--chunks", "2", "--context", "64", "--json"];
        JsonElement[] rows = [.. CommandRun.Of(["compare", EmbeddedModel.Folder, "--formats", "Linear{8,3}-{g32,row}, Q4_K", "--ranges", "min-max", "-o", table, .. measure])
            .Json.GetProperty("rows").EnumerateArray()];
        Assert.Equal(["Linear8-g32", "Linear8-row", "Linear3-g32", "Linear3-row", "Q4_K_M"], rows.Select(r => r.GetProperty("format").GetString()));
        Assert.True(Divergence(rows[0]) < Divergence(rows[2]) && Divergence(rows[2]) < Divergence(rows[3]));

        JsonElement quantized = CommandRun.Of("quantize", EmbeddedModel.Folder, "--to", "Linear3-g32", "--range", "min-max", "-o", packed, "--json").Json;
        JsonElement eval = CommandRun.Of(["eval", packed, "--reference", EmbeddedModel.Folder, .. measure]).Json;
        Assert.Equal(Divergence(eval), Divergence(rows[2]), 1e-12);
        Assert.Equal(quantized.GetProperty("bits_per_weight").GetDouble(), rows[2].GetProperty("bits_per_weight").GetDouble(), 1e-9);
        string[] lines = File.ReadAllLines(table);
        Assert.Equal(7, lines.Length);
        Assert.StartsWith("| Linear8-g32 | min-max |", lines[2], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Linear{2,3", "braces")]
    [InlineData("Linear}2{", "braces")]
    [InlineData("Linear{2,{3}}", "braces")]
    [InlineData("Linear4-huge", "huge")]
    [InlineData("Nothing", "Nothing")]
    public void A_list_that_means_nothing_is_refused_before_any_work(string formats, string named)
    {
        Assert.Contains(named, CommandRun.Of("compare", EmbeddedModel.Folder, "--formats", formats).ErrorLine(2), StringComparison.Ordinal);
    }

    /// <summary>A table that takes minutes a row does not end at its last one.</summary>
    [Fact]
    public void What_a_file_cannot_hold_is_refused_before_any_work()
    {
        string floats = _folder.PathOf("f16.gguf"), few = _folder.PathOf("q4.gguf");
        _ = CommandRun.Of("quantize", EmbeddedModel.Folder, "--to", "F16", "-o", floats, "--json").Json;
        string line = CommandRun.Of("compare", floats, "--formats", "Q4_0,NF4", "--chunks", "1", "--context", "64").ErrorLine(2);
        Assert.Contains("--formats NF4", line, StringComparison.Ordinal);
        Assert.Contains(floats, line, StringComparison.Ordinal);
        _ = CommandRun.Of("quantize", EmbeddedModel.Folder, "--to", "Q4_0", "-o", few, "--json").Json;
        Assert.Contains("'nibble quantize --allow-requantize'", CommandRun.Of("compare", few, "--formats", "Q8_0").ErrorLine(2), StringComparison.Ordinal);
    }

    [Fact]
    public void A_format_without_ranges_is_named_where_ranges_are_compared()
    {
        CommandRun run = CommandRun.Of("compare", EmbeddedModel.Folder, "--formats", "Q4_0,IQ2_XXS", "--pure", "--ranges", "mse", "--chunks", "1", "--context", "32", "--json");
        _ = run.Json;
        Assert.Contains("no say in IQ2_XXS", run.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("no say in Q4_0", run.Error, StringComparison.Ordinal);
    }

    private static double Divergence(JsonElement measured) => measured.GetProperty("kld").GetProperty("mean").GetDouble();

    public void Dispose() => _folder.Dispose();
}
