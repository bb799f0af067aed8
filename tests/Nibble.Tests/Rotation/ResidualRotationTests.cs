using System.Text.Json;
using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Files;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Tests.Cli;
using Nibble.Tests.Decoder;
using Nibble.Tests.Files;
using Nibble.Tests.Golden;

namespace Nibble.Tests.Rotation;

/// <summary>A model whose residual stream is rotated computes what it did before, and its weights turn back to what they were.</summary>
public sealed class ResidualRotationTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private string Rotated(string model, string output, params string[] options)
    {
        string path = _folder.PathOf(output);
        CommandRun run = CommandRun.Of(["quantize", model, "-o", path, "--rotate", "--json", .. options]);
        Assert.Equal(JsonValueKind.String, run.Json.GetProperty("rotation").ValueKind);
        Assert.False(Directory.Exists(path + ".rotated"));
        return path;
    }

    [Theory]
    [InlineData("llama")]
    [InlineData("llama-tied-bias-rope-llama3")]
    [InlineData("mistral-sliding")]
    [InlineData("qwen2")]
    [InlineData("qwen3")]
    [InlineData("qwen3-moe")]
    [InlineData("mixtral")]
    [InlineData("granite")]
    [InlineData("phi3")]
    [InlineData("phi3-longrope")]
    [InlineData("smollm3")]
    [InlineData("deepseek-v3")]
    public void Logits_are_those_of_the_original(string name)
    {
        string folder = GoldenCheckpoint.Folder(name);
        foreach (string output in (string[])["rotated", "rotated.gguf"]) AssertGolden(folder, Rotated(folder, output, "--to", "F32"), name);
        string plain = _folder.PathOf("plain.gguf");
        Assert.Equal(0, CommandRun.Of("quantize", folder, "-o", plain, "--to", "F32").ExitCode);
        AssertGolden(folder, Rotated(plain, "from-gguf.gguf", "--to", "F32"), name);
    }

    private static void AssertGolden(string folder, string rotated, string name)
    {
        var golden = GoldenArchitecture.Read(folder);
        using ModelSource source = ModelSource.Open(rotated);
        using var pool = new WorkerPool(1);
        using var model = new DecoderModel(source, pool);
        Assert.False(model.Config.TiedHead);
        int vocabulary = model.Config.Vocabulary;
        float[] logits = GoldenArchitectureTests.AllLogits(model, golden.InputIds);
        for (int i = 0; i < golden.Positions.Length; i++)
            GoldenArchitectureTests.AssertClose(golden.Logits[i], logits.AsSpan(golden.Positions[i] * vocabulary, vocabulary), $"{name}, position {golden.Positions[i]}");
    }

    [Theory]
    [InlineData("gpt-neox", "norms subtract the mean")]
    [InlineData("gemma2", "post_attention_norm")]
    [InlineData("olmo2", "there is no norm")]
    [InlineData("gpt-oss", "inputs as rows")]
    public void What_no_rotation_goes_through_is_refused(string name, string because)
    {
        string error = CommandRun.Of("quantize", GoldenCheckpoint.Folder(name), "-o", _folder.PathOf("m"), "--to", "Linear4", "--rotate").ErrorLine(2);
        Assert.Contains("cannot be rotated", error, StringComparison.Ordinal);
        Assert.Contains(because, error, StringComparison.Ordinal);
        Assert.Empty(Directory.EnumerateFileSystemEntries(_folder.Path));
    }

    /// <summary>W diag(gains) R and Rᵀ W, turned back by the signs and the transform that docs/format.md describes.</summary>
    [Fact]
    public void Weights_turn_back_to_what_they_were()
    {
        using ModelSource original = ModelSource.Open(EmbeddedModel.Folder), rotated = ModelSource.Open(Rotated(EmbeddedModel.Folder, "rotated", "--to", "F32"));
        int hidden = original.Config.Hidden;
        var rotation = new ColumnRotation(hidden, hidden);
        float[] gains = original.Tensors["blk.3.ffn_norm.weight"].LoadVector(), one = rotated.Tensors["blk.3.ffn_norm.weight"].LoadVector();
        Assert.All(one, gain => Assert.Equal(1, gain));
        Weight up = rotated.Tensors["blk.3.ffn_up.weight"].Load(), upBefore = original.Tensors["blk.3.ffn_up.weight"].Load();
        Weight down = rotated.Tensors["blk.3.ffn_down.weight"].Load(), downBefore = original.Tensors["blk.3.ffn_down.weight"].Load();
        float[] row = new float[hidden], before = new float[hidden];
        for (int r = 0; r < up.Rows; r++)
        {
            up.ReadRow(r, row);
            rotation.RotateBack(row);
            upBefore.ReadRow(r, before);
            for (int c = 0; c < hidden; c++) Assert.Equal(before[c], row[c] / gains[c], 1e-6f);
        }
        for (int c = 0; c < down.Columns; c++)
        {
            (row, before) = (Column(down, c), Column(downBefore, c));
            rotation.RotateBack(row);
            for (int r = 0; r < hidden; r++) Assert.Equal(before[r], row[r], 1e-6f);
        }
    }

    private static float[] Column(Weight matrix, int column)
    {
        var numbers = new float[matrix.Rows];
        var row = new float[matrix.Columns];
        for (int r = 0; r < numbers.Length; r++)
        {
            matrix.ReadRow(r, row);
            numbers[r] = row[column];
        }
        return numbers;
    }

    /// <summary>Calibrated or not, on one thread or two, to a file or a folder: it says so, and stays what it is.</summary>
    [Theory]
    [InlineData("m.gguf", "--to", "Q4_K_M")]
    [InlineData("m", "--to", "Linear4")]
    [InlineData("m.gguf", "--to", "Q3_K_S", "--calibration-chunks", "2")]
    public void The_file_says_so_and_its_bytes_do_not_depend_on_threads(string output, params string[] options)
    {
        if (options.Length > 2) options = [.. options, "--calibration", EmbeddedModel.Text];
        string weights = output == "m" ? "model.safetensors" : "";
        string path = Rotated(EmbeddedModel.Folder, output, [.. options, "--threads", "1"]);
        byte[] one = File.ReadAllBytes(Path.Combine(path, weights));
        Rotated(EmbeddedModel.Folder, output, [.. options, "--threads", "2", "--force"]);
        Assert.True(one.AsSpan().SequenceEqual(File.ReadAllBytes(Path.Combine(path, weights))));
        using ModelSource source = ModelSource.Open(path);
        Assert.Equal("hadamard-256", source.Note("nibble.rotation"));
        string plain = _folder.PathOf("plain" + Path.GetExtension(output));
        Assert.Equal(0, CommandRun.Of("quantize", EmbeddedModel.Folder, "-o", plain, "--to", output == "m" ? "Linear4" : "Q8_0").ExitCode);
        using ModelSource other = ModelSource.Open(plain);
        Assert.Equal("", other.Note("nibble.rotation"));
        Assert.Equal(other.Note("nibble.source_sha256"), source.Note("nibble.source_sha256"));
        Assert.Contains("rotated already", CommandRun.Of("quantize", path, "-o", _folder.PathOf("twice.gguf"), "--rotate", "--allow-requantize").ErrorLine(2), StringComparison.Ordinal);
    }

    [Fact]
    public void Loss_is_measured_against_the_original()
    {
        string path = Rotated(EmbeddedModel.Folder, "m.gguf", "--to", "Q8_0");
        JsonElement result = CommandRun.Of("eval", path, "--reference", EmbeddedModel.Folder, "--chunks", "1", "--json").Json;
        Assert.InRange(result.GetProperty("kld").GetProperty("mean").GetDouble(), 1e-7, 1e-3);
    }

    [Fact]
    public void A_report_compares_it_with_the_rotated_original_alone()
    {
        string path = Rotated(EmbeddedModel.Folder, "m.gguf", "--to", "Q8_0"), page = _folder.PathOf("report.html");
        string[] command = ["report", path, "-o", page, "--chunks", "1", "--json", "--reference"];
        string error = CommandRun.Of([.. command, EmbeddedModel.Folder]).ErrorLine(2);
        Assert.Contains("--to F32 --rotate", error, StringComparison.Ordinal);
        JsonElement report = CommandRun.Of([.. command, Rotated(EmbeddedModel.Folder, "original", "--to", "F32")]).Json;
        JsonElement last = report.GetProperty("models").EnumerateArray().Last().GetProperty("layers").EnumerateArray().Last();
        Assert.InRange(last.GetProperty("cosine").GetDouble(), 0.999, 1);
    }

    [Fact]
    public void A_killed_run_goes_on_to_the_same_bytes()
    {
        string[] options = ["--to", "Q3_K_S", "--calibration", EmbeddedModel.Text, "--calibration-chunks", "2", "--resume"];
        string path = Rotated(EmbeddedModel.Folder, "m.gguf", options);
        byte[] whole = File.ReadAllBytes(path);
        File.WriteAllBytes(path + ".partial", whole[..(whole.Length / 2)]);
        File.Delete(path);
        // What a kill leaves of the rotated model is written anew.
        string rest = Path.Combine(path + ".rotated", Path.GetFileName(EmbeddedModel.Folder) + ".partial");
        Directory.CreateDirectory(rest);
        File.WriteAllText(Path.Combine(rest, "config.json"), "{");
        Rotated(EmbeddedModel.Folder, "m.gguf", options);
        Assert.True(whole.AsSpan().SequenceEqual(File.ReadAllBytes(path)));
    }

    [Fact]
    public void Nothing_of_somebody_elses_is_deleted()
    {
        string folder = _folder.PathOf("m.gguf.rotated"), file = Path.Combine(folder, "mine");
        Directory.CreateDirectory(folder);
        File.WriteAllText(file, "");
        string error = CommandRun.Of("quantize", EmbeddedModel.Folder, "-o", _folder.PathOf("m.gguf"), "--rotate").ErrorLine(2);
        Assert.Contains("holds something else", error, StringComparison.Ordinal);
        Assert.True(File.Exists(file));
    }

    [Fact]
    public void Importance_of_columns_that_are_no_longer_there_is_refused() =>
        Assert.Contains("not rotated", CommandRun.Of("quantize", EmbeddedModel.Folder, "-o", _folder.PathOf("m.gguf"), "--rotate", "--importance", "x.gguf").ErrorLine(2), StringComparison.Ordinal);

    public void Dispose() => _folder.Dispose();
}
