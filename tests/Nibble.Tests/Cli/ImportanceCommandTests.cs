using System.Text.Json;
using Nibble.Files.Gguf;
using Nibble.Quantization.Calibration;
using Nibble.Tests.Files;

namespace Nibble.Tests.Cli;

/// <summary>Measuring importance, and quantizing with it.</summary>
public sealed class ImportanceCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    /// <summary>
    /// What llama-imatrix (llama.cpp v0.5.0, -c 64) measured on the embedded model's float32 weights and the first 6000 bytes
    /// of the bundled text: the column with the largest sum, that sum, the first column's, and the sum of all.
    /// It keeps keys and values in half precision, which we do not.
    /// </summary>
    [Fact]
    public void Sums_are_those_of_llama_imatrix()
    {
        string text = _folder.Write("t.txt", File.ReadAllBytes(EmbeddedModel.Text).AsSpan(0, 6000)), output = _folder.PathOf("i.gguf");
        JsonElement result = CommandRun.Of("importance", EmbeddedModel.Folder, "--text", text, "-o", output, "--context", "64", "--json").Json;
        Assert.Equal(28, result.GetProperty("chunks").GetInt32());
        ImportanceMatrix matrix = ImportanceMatrix.Read(output);
        Assert.Equal(42, matrix.Tensors.Count);
        foreach ((string name, int largest, double most, double first, double all) in new[]
        {
            ("blk.0.attn_q.weight", 1, 1078.93396, 174.771454, 47393.9774),
            ("blk.0.ffn_down.weight", 680, 4245.42090, 756.458923, 235196.395),
            ("blk.3.attn_output.weight", 204, 2242.89941, 255.925507, 185068.867),
            ("blk.5.ffn_up.weight", 73, 8572.51172, 684.183777, 220827.354),
            ("blk.5.ffn_down.weight", 736, 381619.094, 9376.67578, 2853549.44),
        })
        {
            ColumnImportance found = matrix.Tensors[name];
            Assert.Equal(1792, found.Counts.Single());
            Assert.Equal(largest, Array.IndexOf(found.Sums, found.Sums.Max()));
            Assert.InRange(found.Sums[largest] / most, 0.998, 1.002);
            Assert.InRange(found.Sums[0] / first, 0.998, 1.002);
            Assert.InRange(found.Sums.Sum(s => (double)s) / all, 0.998, 1.002);
        }
        JsonElement row = result.GetProperty("tensors").EnumerateArray().Single(t => t.GetProperty("name").GetString() == "blk.0.attn_q.weight");
        Assert.InRange(row.GetProperty("mean_square").GetDouble(), 0.103, 0.104);
        Assert.InRange(row.GetProperty("entropy").GetDouble(), 7, 8);
    }

    [Fact]
    public void Bits_that_know_what_columns_matter_predict_better()
    {
        string importance = _folder.PathOf("i.gguf"), plain = _folder.PathOf("plain.gguf"), better = _folder.PathOf("better.gguf");
        CommandRun.Of("importance", EmbeddedModel.Folder, "--text", EmbeddedModel.Text, "--chunks", "6", "-o", importance, "--process-output");
        CommandRun.Of("quantize", EmbeddedModel.Folder, "--to", "IQ2_S", "--pure", "-o", plain);
        JsonElement result = CommandRun.Of("quantize", EmbeddedModel.Folder, "--to", "IQ2_S", "--pure", "--importance", importance, "-o", better, "--json").Json;
        Assert.Equal("importance", result.GetProperty("tensors").EnumerateArray().Single(t => t.GetProperty("name").GetString() == "token_embd.weight").GetProperty("method").GetString());
        Assert.Equal(43, result.GetProperty("tensors").EnumerateArray().Count(t => t.GetProperty("method").GetString() == "importance"));
        Assert.InRange(Divergence(better), 0, 0.9 * Divergence(plain));
        using var file = new GgufFile(better);
        Assert.Matches("^IQ2_S importance file=[0-9a-f]{16} pure$", file.Metadata.GetString("nibble.recipe"));
    }

    [Theory]
    [InlineData("--calibration", "leave out --calibration")]
    [InlineData("--method", "does not go with --method")]
    public void Importance_stands_for_itself(string other, string expected)
    {
        CommandRun run = CommandRun.Of("quantize", EmbeddedModel.Folder, "-o", _folder.PathOf("x.gguf"), "--importance", EmbeddedModel.Text, other, "gptq");
        Assert.Contains(expected, run.ErrorLine(2), StringComparison.Ordinal);
    }

    private static double Divergence(string model) =>
        CommandRun.Of("eval", model, "--chunks", "3", "--context", "256", "--reference", EmbeddedModel.Folder, "--json").Json.GetProperty("kld").GetProperty("mean").GetDouble();

    [Fact]
    public void A_model_whose_numbers_are_none_is_refused_and_nothing_is_written()
    {
        EmbeddedModel.CopyDamaged(_folder.Path, "model.layers.1.self_attn.v_proj.weight", 0x7FC0);
        string output = _folder.PathOf("imatrix.gguf");
        string line = CommandRun.Of("importance", _folder.Path, "--text", EmbeddedModel.Text, "--chunks", "1", "-o", output).ErrorLine(2);
        Assert.Contains(_folder.Path, line, StringComparison.Ordinal);
        Assert.Contains("not finite", line, StringComparison.Ordinal);
        Assert.False(File.Exists(output));
    }

    public void Dispose() => _folder.Dispose();
}
