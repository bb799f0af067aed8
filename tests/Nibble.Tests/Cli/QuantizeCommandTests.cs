using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Nibble.Files;
using Nibble.Files.Gguf;
using Nibble.Tests.Files;

namespace Nibble.Tests.Cli;

public sealed class QuantizeCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public void The_file_is_as_large_as_promised_and_says_what_it_was_made_from()
    {
        string output = _folder.PathOf("q4.gguf");
        JsonElement plan = CommandRun.Of("quantize", EmbeddedModel.Folder, "-o", output, "--dry-run", "--json").Json;
        Assert.False(File.Exists(output));
        JsonElement result = CommandRun.Of("quantize", EmbeddedModel.Folder, "-o", output, "--json").Json;
        Assert.Equal(new FileInfo(output).Length, result.GetProperty("bytes").GetInt64());
        Assert.Equal(plan.GetProperty("bytes").GetInt64(), result.GetProperty("bytes").GetInt64());
        Assert.Equal(output, result.GetProperty("output").GetString());
        Assert.InRange(result.GetProperty("bits_per_weight").GetDouble(), 4.5, 5);
        Assert.True(result.GetProperty("seconds").GetDouble() > 0);
        Assert.True(result.GetProperty("peak_memory_bytes").GetInt64() > 0);
        Assert.Equal(0, result.GetProperty("fallback_count").GetInt32());

        using var file = new GgufFile(output);
        string sha = Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(Path.Combine(EmbeddedModel.Folder, "model.safetensors"))));
        Assert.Equal(sha, file.Metadata.GetString("nibble.source_sha256"));
        Assert.Equal("Q4_0 nearest", file.Metadata.GetString("nibble.recipe"));
        Assert.Equal(2u, file.Metadata.GetUInt32("general.file_type"));
        Assert.StartsWith("nibble ", file.Metadata.GetString("general.quantized_by"), StringComparison.Ordinal);
    }

    [Fact]
    public void Every_tensor_reports_its_format_and_what_it_lost()
    {
        JsonElement tensors = Quantize("t.gguf", "--to", "Q4_0").GetProperty("tensors");
        Assert.Equal(56, tensors.GetArrayLength());
        foreach (JsonElement tensor in tensors.EnumerateArray())
        {
            (string format, double least, double most) = tensor.GetProperty("name").GetString() switch
            {
                "token_embd.weight" => ("Q6_K", 1e-5, 1e-3),
                var name when name!.EndsWith("_norm.weight", StringComparison.Ordinal) => ("F32", 0, 0),
                _ => ("Q4_0", 3e-3, 1.2e-2),
            };
            Assert.Equal(format, tensor.GetProperty("format").GetString());
            double error = tensor.GetProperty("relative_mse").GetDouble();
            Assert.InRange(error, least, most);
            if (error > 0) Assert.Equal(-10 * Math.Log10(error), tensor.GetProperty("sqnr_db").GetDouble(), 1e-9);
        }
    }

    [Theory, InlineData("Q4_K_M"), InlineData("IQ3_XXS")]
    public void The_bytes_do_not_depend_on_the_number_of_threads(string recipe)
    {
        Quantize("one.gguf", "--to", recipe, "--threads", "1");
        Quantize("three.gguf", "--to", recipe, "--threads", "3");
        Assert.Equal(File.ReadAllBytes(_folder.PathOf("one.gguf")), File.ReadAllBytes(_folder.PathOf("three.gguf")));
    }

    /// <summary>Names, the order of rows, the tokenizer and the configuration all have to survive the way through GGUF.</summary>
    [Fact]
    public void A_model_that_was_only_rewritten_predicts_as_before()
    {
        Quantize("bf16.gguf", "--to", "BF16");
        JsonElement eval = CommandRun.Of(
            "eval", _folder.PathOf("bf16.gguf"), "--reference", EmbeddedModel.Folder, "--context", "64", "--chunks", "4", "--json").Json;
        Assert.InRange(eval.GetProperty("kld").GetProperty("max").GetDouble(), 0, 1e-6);
        (string prompt, int[] _, int[] greedy) = EmbeddedModel.Golden()[0];
        JsonElement run = CommandRun.Of("run", _folder.PathOf("bf16.gguf"), "-p", prompt, "-n", "16", "--temperature", "0", "--json").Json;
        Assert.Equal(greedy[..16], run.GetProperty("tokens").EnumerateArray().Select(t => t.GetInt32()));
    }

    [Fact]
    public void Overrides_a_kept_head_and_pure_change_what_they_name()
    {
        JsonElement tensors = Quantize("o.gguf", "--to", "Q4_K_M", "--keep-output", "F16", "--override", @"blk\.\d+\.ffn_down=Q8_0").GetProperty("tensors");
        Assert.Equal("F16", Format(tensors, "token_embd.weight"));
        Assert.Equal("Q8_0", Format(tensors, "blk.3.ffn_down.weight"));
        Assert.Equal("Q6_K", Format(tensors, "blk.5.attn_v.weight"));
        Assert.Equal("Q4_K", Format(Quantize("p.gguf", "--to", "Q4_K", "--pure").GetProperty("tensors"), "blk.5.attn_v.weight"));
    }

    [Fact]
    public void Rows_that_a_block_does_not_divide_are_said_and_counted()
    {
        CommandRun run = CommandRun.Of("quantize", SharedData.Path("golden/architectures/llama"), "--to", "Q4_K_S", "-o", _folder.PathOf("f.gguf"), "--json");
        Assert.Equal(16, run.Json.GetProperty("fallback_count").GetInt32());
        Assert.Contains("no tokenizer", run.Error, StringComparison.Ordinal);
        Assert.Contains("rows of 64, which Q4_K cannot divide", run.Error, StringComparison.Ordinal);
        Assert.Equal("Q5_0", Format(run.Json.GetProperty("tensors"), "blk.1.attn_q.weight"));
    }

    [Fact]
    public void An_existing_output_is_kept_unless_forced()
    {
        string output = _folder.Write("old.gguf", "an old file"u8);
        Assert.Contains("--force", CommandRun.Of("quantize", EmbeddedModel.Folder, "-o", output).ErrorLine(2), StringComparison.Ordinal);
        Assert.Equal("an old file", File.ReadAllText(output));
        Quantize("old.gguf", "--force");
        using var file = new GgufFile(output);
        Assert.Equal(56, file.Tensors.Count);
    }

    [Fact]
    public void A_cancelled_run_leaves_the_old_file_and_nothing_else()
    {
        string output = _folder.Write("old.gguf", "an old file"u8);
        using var cancellation = new CancellationTokenSource();
        cancellation.Cancel();
        CommandRun.Of(cancellation.Token, "quantize", EmbeddedModel.Folder, "-o", output, "--force").ErrorLine(1);
        Assert.Equal("an old file", File.ReadAllText(output));
        Assert.Equal(["old.gguf"], Directory.EnumerateFiles(_folder.Path).Select(Path.GetFileName));
    }

    [Theory, InlineData(0x7FC0, "NaN"), InlineData(0xFF80, "-Infinity")]
    public void A_weight_that_is_no_finite_number_is_named_with_its_place(int bits, string shown)
    {
        string broken = Directory.CreateDirectory(_folder.PathOf("broken")).FullName;
        foreach (string file in Directory.EnumerateFiles(EmbeddedModel.Folder)) File.Copy(file, Path.Combine(broken, Path.GetFileName(file)));
        string weights = Path.Combine(broken, "model.safetensors");
        TensorInfo tensor;
        using (TensorFile file = TensorFile.Open(broken)) tensor = file.Get("model.layers.2.mlp.up_proj.weight");
        long offset = OffsetOf(tensor, weights) + 2 * (5 * tensor.Columns + 7);
        byte[] bytes = File.ReadAllBytes(weights);
        (bytes[offset], bytes[offset + 1]) = ((byte)bits, (byte)(bits >> 8));
        File.WriteAllBytes(weights, bytes);
        string line = CommandRun.Of("quantize", broken, "-o", _folder.PathOf("x.gguf")).ErrorLine(2);
        Assert.Contains($"'blk.2.ffn_up.weight' holds {shown} at row 5, column 7", line, StringComparison.Ordinal);
        Assert.False(File.Exists(_folder.PathOf("x.gguf")) || File.Exists(_folder.PathOf("x.gguf.partial")));
    }

    [Fact]
    public void Quantizing_twice_has_to_be_allowed_and_warns()
    {
        Quantize("q4.gguf", "--to", "Q4_0");
        string[] again = ["quantize", _folder.PathOf("q4.gguf"), "--to", "Q3_K_S", "-o", _folder.PathOf("q3.gguf"), "--json"];
        Assert.Contains("--allow-requantize", CommandRun.Of(again).ErrorLine(2), StringComparison.Ordinal);
        CommandRun allowed = CommandRun.Of([.. again, "--allow-requantize"]);
        Assert.Contains("quantized already", allowed.Error, StringComparison.Ordinal);
        JsonElement tensors = allowed.Json.GetProperty("tensors");
        Assert.Equal("Q3_K", Format(tensors, "blk.0.attn_q.weight"));
        Assert.Equal("copied", tensors[0].GetProperty("method").GetString());
    }

    [Theory]
    [InlineData("--to Q9_Z", "Q9_Z")]
    [InlineData("--method magic", "magic")]
    [InlineData("--range magic", "magic")]
    [InlineData("--override ffn_down", "PATTERN=FORMAT")]
    [InlineData("--override nowhere=Q6_K", "nowhere")]
    [InlineData("--override model.layers=Q6_K", "blk.0.")]
    [InlineData("--keep-output F99", "F99")]
    [InlineData("--to Linear4", "Linear4")]
    public void What_cannot_be_done_is_said_before_any_work(string options, string named)
    {
        Assert.Contains(named, CommandRun.Of(["quantize", EmbeddedModel.Folder, "-o", _folder.PathOf("x.gguf"), .. options.Split(' ')]).ErrorLine(2), StringComparison.Ordinal);
        Assert.Empty(Directory.EnumerateFiles(_folder.Path));
    }

    [Fact]
    public void What_will_not_be_as_asked_is_said_once()
    {
        string output = _folder.PathOf("w.gguf");
        Assert.Contains("--range min-max has no say in 43 tensors, whose formats have no range to choose (IQ3_S)",
            CommandRun.Of("quantize", EmbeddedModel.Folder, "--to", "IQ3_S", "--pure", "--range", "min-max", "--dry-run", "-o", output).Error, StringComparison.Ordinal);
        Assert.DoesNotContain("relative error", CommandRun.Of("quantize", EmbeddedModel.Folder, "--dry-run", "-o", output).Output, StringComparison.Ordinal);
        Assert.DoesNotContain("--range", CommandRun.Of("quantize", EmbeddedModel.Folder, "--range", "min-max", "--dry-run", "-o", output).Error, StringComparison.Ordinal);
        Assert.Contains("leave out --range", CommandRun.Of(
            "quantize", EmbeddedModel.Folder, "--calibration", EmbeddedModel.Text, "--range", "min-max", "-o", output).ErrorLine(2), StringComparison.Ordinal);
        string error = CommandRun.Of("quantize", SharedData.Path("golden/architectures/mistral-sliding"), "--dry-run", "-o", output).Error;
        Assert.Single(error.Split('\n'), line => line.Contains("llama.cpp reads no sliding window in llama models", StringComparison.Ordinal));
        error = CommandRun.Of("quantize", SharedData.Path("golden/architectures/gemma2"), "--dry-run", "-o", output).Error;
        Assert.DoesNotContain("sliding window", error, StringComparison.Ordinal);
    }

    /// <summary>llama.cpp's rounding to three levels, which is the default, is for models that were trained to have them.</summary>
    [Theory]
    [InlineData("TQ2_0", "", true)]
    [InlineData("TQ2_0", "--range mse", false)]
    [InlineData("Q4_0", "", false)]
    [InlineData("Q1_0", "", false)]
    public void Rounding_that_ruins_a_model_is_said_once(string format, string options, bool ruins)
    {
        CommandRun run = CommandRun.Of(
            ["quantize", EmbeddedModel.Folder, "--to", format, "-o", _folder.PathOf("r.gguf"), "--json", .. options.Split(' ', StringSplitOptions.RemoveEmptyEntries)]);
        Assert.Equal(0, run.ExitCode);
        Assert.Equal(ruins ? 1 : 0, run.Error.Split('\n').Count(line => line.Contains("--range mse loses less", StringComparison.Ordinal)));
        Assert.Equal(ruins, run.Json.GetProperty("warnings").EnumerateArray().Any(w => w.GetString()!.Contains(format, StringComparison.Ordinal)));
    }

    [Fact]
    public void Evaluate_measures_before_and_after()
    {
        JsonElement e = Quantize("e.gguf", "--to", "Q8_0", "--evaluate", "--chunks", "2").GetProperty("evaluation");
        Assert.InRange(e.GetProperty("kld").GetProperty("mean").GetDouble(), 1e-6, 5e-3);
        Assert.InRange(e.GetProperty("top1_agreement").GetDouble(), 0.95, 1);
        Assert.Equal(16, e.GetProperty("before").GetProperty("bits_per_weight").GetDouble());
        Assert.InRange(e.GetProperty("after").GetProperty("bits_per_weight").GetDouble(), 8.5, 8.6);
        Assert.InRange(e.GetProperty("after").GetProperty("perplexity").GetDouble() / e.GetProperty("before").GetProperty("perplexity").GetDouble(), 0.99, 1.01);
        Assert.True(e.GetProperty("after").GetProperty("decode_tokens_per_second").GetDouble() > 0);
    }

    private JsonElement Quantize(string output, params string[] options) =>
        CommandRun.Of(["quantize", EmbeddedModel.Folder, "-o", _folder.PathOf(output), "--json", .. options]).Json;

    private static string? Format(JsonElement tensors, string name) =>
        tensors.EnumerateArray().Single(t => t.GetProperty("name").GetString() == name).GetProperty("format").GetString();

    /// <summary>Where a tensor's bytes begin, from the file's own header.</summary>
    private static long OffsetOf(TensorInfo tensor, string path)
    {
        byte[] bytes = File.ReadAllBytes(path);
        int length = (int)BitConverter.ToInt64(bytes);
        using JsonDocument header = JsonDocument.Parse(Encoding.UTF8.GetString(bytes, 8, length));
        return 8 + length + header.RootElement.GetProperty(tensor.Name).GetProperty("data_offsets")[0].GetInt64();
    }

    public void Dispose() => _folder.Dispose();
}
