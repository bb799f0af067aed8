using System.Text.Json;
using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Files;
using Nibble.Files.Packed;
using Nibble.Tests.Files;

namespace Nibble.Tests.Cli;

/// <summary>The families that GGUF does not know, from the command line to a folder and back.</summary>
public sealed class QuantizeToFolderTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static string Text => Path.Combine(EmbeddedModel.Folder, "..", "text", "eval.txt");

    /// <summary>What is read from the folder is what the format makes of the original's rows, float by float.</summary>
    [Theory]
    [InlineData("Linear3-sym-g32")]
    [InlineData("Linear2-min-row")]
    [InlineData("Linear4-tensor")]
    [InlineData("Fixed8-row")]
    [InlineData("Log4")]
    [InlineData("Log3-tensor")]
    [InlineData("Apot4-row")]
    [InlineData("NF4-s8")]
    [InlineData("F8_E4M3-g64")]
    [InlineData("Vector4x64")]
    [InlineData("Vector8x16x2-add-row")]
    [InlineData("Vector8-E8")]
    [InlineData("Q3_K")]
    public void The_folder_decodes_to_what_the_format_makes_of_the_original(string name)
    {
        // Only the two that are looked at, for speed.
        JsonElement result = Quantize("packed", "--to", "Linear8", "--override", $"blk.3.ffn_down|token_embd={name}");
        using TensorFile original = TensorFile.Open(EmbeddedModel.Folder), packed = TensorFile.Open(_folder.PathOf("packed"));
        Assert.IsType<PackedFolder>(packed);
        foreach (string tensor in (string[])["model.embed_tokens.weight", "model.layers.3.mlp.down_proj.weight"])
        {
            Weight source = original.Load(original.Get(tensor)), stored = packed.Load(packed.Get(tensor));
            Core.Formats.Format format = Core.Formats.Format.Parse(name).ForColumns(source.Columns).Learn(source, new LearnOptions());
            Assert.Equal(format.Name, stored.Format.Name);
            float[] row = new float[source.Columns], expected = new float[source.Columns], read = new float[source.Columns];
            var bytes = new byte[format.RowBytes(source.Columns)];
            for (int r = 0; r < source.Rows; r += 37)
            {
                source.ReadRow(r, row);
                format.Encode(row, default, bytes);
                format.Decode(bytes, expected);
                stored.ReadRow(r, read);
                Assert.Equal(expected, read);
            }
        }
        Assert.Equal(8.0 * packed.Tensors.Sum(t => t.BytesWithTable) / packed.Tensors.Sum(t => t.Elements), result.GetProperty("bits_per_weight").GetDouble(), 1e-9);
    }

    [Fact]
    public void The_bytes_are_those_promised_and_all_of_them_are_counted()
    {
        string output = _folder.PathOf("v");
        string[] arguments = ["quantize", EmbeddedModel.Folder, "--to", "Vector4x16", "-o", output, "--json"];
        JsonElement plan = CommandRun.Of([.. arguments, "--dry-run"]).Json;
        Assert.False(Directory.Exists(output));
        JsonElement result = CommandRun.Of(arguments).Json;
        long length = new FileInfo(Path.Combine(output, "model.safetensors")).Length;
        Assert.Equal(length, result.GetProperty("bytes").GetInt64());
        Assert.Equal(length, plan.GetProperty("bytes").GetInt64());
        long header = 8 + BitConverter.ToInt64(File.ReadAllBytes(Path.Combine(output, "model.safetensors")));
        JsonElement inspected = CommandRun.Of("inspect", output, "--json").Json;
        Assert.Equal(length - header, inspected.GetProperty("bytes").GetInt64());
        Assert.Equal(result.GetProperty("bits_per_weight").GetDouble(), inspected.GetProperty("bits_per_weight").GetDouble(), 1e-9);
        Assert.Equal("Linear6", Format(result, "token_embd.weight"));
        Assert.Equal("BF16", Format(result, "blk.0.attn_norm.weight"));
        Assert.True(File.Exists(Path.Combine(output, "tokenizer.json")));
    }

    [Fact]
    public void Overrides_a_kept_head_and_a_range_work_as_with_gguf()
    {
        JsonElement result = Quantize("o", "--to", "Linear4", "--override", @"blk\.\d+\.ffn_down=Vector8-E8", "--keep-output", "Q8_0", "--range", "min-max");
        Assert.Equal("Q8_0", Format(result, "token_embd.weight"));
        Assert.Equal("Vector8-E8", Format(result, "blk.3.ffn_down.weight"));
        double searched = Error(Quantize("s", "--to", "Linear4"), "blk.0.attn_q.weight");
        Assert.True(Error(result, "blk.0.attn_q.weight") > 1.05 * searched);
    }

    [Theory, InlineData("Vector4x64"), InlineData("Vector8x16x2-add"), InlineData("Log4-tensor")]
    public void The_bytes_do_not_depend_on_the_number_of_threads(string format)
    {
        string[] options = ["--to", "Linear8", "--override", $@"blk\.[23]\.attn={format}"];
        Quantize("one", [.. options, "--threads", "1"]);
        Quantize("three", [.. options, "--threads", "3"]);
        Assert.Equal(File.ReadAllBytes(_folder.PathOf("one/model.safetensors")), File.ReadAllBytes(_folder.PathOf("three/model.safetensors")));
    }

    [Theory, InlineData("Linear3"), InlineData("Vector2x16")]
    public void Calibrated_bits_predict_better_than_nearest_ones(string format)
    {
        Quantize("nearest", "--to", format);
        JsonElement result = Quantize("gptq", "--to", format, "--calibration", Text, "--calibration-chunks", "6");
        JsonElement row = result.GetProperty("tensors").EnumerateArray().Single(t => t.GetProperty("name").GetString() == "blk.1.ffn_up.weight");
        Assert.Equal("gptq", row.GetProperty("method").GetString());
        Assert.InRange(Divergence("gptq"), 0, 0.8 * Divergence("nearest"));
    }

    [Fact]
    public void The_folder_runs_and_gives_logits()
    {
        Quantize("nf4", "--to", "NF4");
        string model = _folder.PathOf("nf4");
        Assert.Equal(5, CommandRun.Of("run", model, "-p", "The old man", "-n", "5", "--temperature", "0", "--json").Json.GetProperty("tokens").GetArrayLength());
        Assert.Equal(3, CommandRun.Of("logits", model, "--tokens", "1,2,3", "--json").Json.GetProperty("logits").GetArrayLength());
    }

    [Fact]
    public void What_a_file_cannot_hold_is_said_with_the_remedy()
    {
        string line = CommandRun.Of("quantize", EmbeddedModel.Folder, "--to", "Linear4", "-o", _folder.PathOf("x.gguf")).ErrorLine(2);
        Assert.Contains("GGUF has no type for Linear4", line, StringComparison.Ordinal);
        Assert.Contains($"-o {_folder.PathOf("x")}", line, StringComparison.Ordinal);
        CommandRun.Of("quantize", EmbeddedModel.Folder, "--to", "Q8_0", "-o", _folder.PathOf("q8.gguf"));
        line = CommandRun.Of("quantize", _folder.PathOf("q8.gguf"), "--to", "Linear4", "--allow-requantize", "-o", _folder.PathOf("f")).ErrorLine(2);
        Assert.Contains("is GGUF", line, StringComparison.Ordinal);
    }

    [Fact]
    public void A_cancelled_run_leaves_nothing_and_an_existing_folder_is_kept()
    {
        using var cancellation = new CancellationTokenSource();
        cancellation.Cancel();
        CommandRun.Of(cancellation.Token, "quantize", EmbeddedModel.Folder, "--to", "Vector4x16", "-o", _folder.PathOf("c")).ErrorLine(1);
        Assert.Empty(Directory.EnumerateFileSystemEntries(_folder.Path));
        Quantize("kept", "--to", "Linear8");
        string[] again = ["quantize", EmbeddedModel.Folder, "--to", "Linear2", "-o", _folder.PathOf("kept")];
        Assert.Contains("--force", CommandRun.Of(again).ErrorLine(2), StringComparison.Ordinal);
        Assert.Equal(0, CommandRun.Of([.. again, "--force"]).ExitCode);
        Assert.Equal("Linear2", CommandRun.Of("inspect", _folder.PathOf("kept"), "--json").Json.GetProperty("tensors").EnumerateArray()
            .Single(t => t.GetProperty("name").GetString() == "model.layers.0.mlp.up_proj.weight").GetProperty("format").GetString());
    }

    [Theory, InlineData("Linear4-tensor"), InlineData("Vector4x16")]
    public void A_weight_that_is_no_number_is_named_before_a_table_is_learned_from_it(string format)
    {
        string broken = Directory.CreateDirectory(_folder.PathOf("broken")).FullName;
        foreach (string file in Directory.EnumerateFiles(EmbeddedModel.Folder)) File.Copy(file, Path.Combine(broken, Path.GetFileName(file)));
        string weights = Path.Combine(broken, "model.safetensors");
        byte[] bytes = File.ReadAllBytes(weights);
        int header = (int)BitConverter.ToInt64(bytes);
        using JsonDocument names = JsonDocument.Parse(bytes.AsMemory(8, header));
        JsonElement tensor = names.RootElement.GetProperty("model.layers.2.mlp.up_proj.weight");
        int columns = tensor.GetProperty("shape")[1].GetInt32(), at = 8 + header + tensor.GetProperty("data_offsets")[0].GetInt32() + 2 * (5 * columns + 7);
        (bytes[at], bytes[at + 1]) = (0xC0, 0x7F);
        File.WriteAllBytes(weights, bytes);
        string line = CommandRun.Of("quantize", broken, "--to", "Linear8", "--override", $"blk.2.ffn_up={format}", "-o", _folder.PathOf("x")).ErrorLine(2);
        Assert.Contains("'blk.2.ffn_up.weight' holds NaN at row 5, column 7", line, StringComparison.Ordinal);
    }

    private JsonElement Quantize(string output, params string[] options) =>
        CommandRun.Of(["quantize", EmbeddedModel.Folder, "-o", _folder.PathOf(output), "--json", .. options]).Json;

    private double Divergence(string model) =>
        CommandRun.Of("eval", _folder.PathOf(model), "--text", Text, "--chunks", "4", "--context", "256", "--reference", EmbeddedModel.Folder, "--json")
            .Json.GetProperty("kld").GetProperty("mean").GetDouble();

    private static JsonElement Tensor(JsonElement result, string name) =>
        result.GetProperty("tensors").EnumerateArray().Single(t => t.GetProperty("name").GetString() == name);

    private static string? Format(JsonElement result, string name) => Tensor(result, name).GetProperty("format").GetString();

    private static double Error(JsonElement result, string name) => Tensor(result, name).GetProperty("relative_mse").GetDouble();

    public void Dispose() => _folder.Dispose();
}
