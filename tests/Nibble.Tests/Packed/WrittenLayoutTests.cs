using System.Text.Json;
using Nibble.Core.Kernels;
using Nibble.Core.Threading;
using Nibble.Files;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Tests.Cli;
using Nibble.Tests.Decoder;
using Nibble.Tests.Files;
using Nibble.Tests.Golden;

namespace Nibble.Tests.Packed;

/// <summary>What <c>quantize --layout</c> writes holds the numbers that it holds without.</summary>
public sealed class WrittenLayoutTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Theory]
    [InlineData("gptq", "Linear4-sym-g32")]
    [InlineData("gptq", "Linear4-g32")]
    [InlineData("gptq", "Linear3-g64-bf16")]
    [InlineData("gptq", "Linear2-sym-g32")]
    [InlineData("gptq", "Linear8-row")]
    [InlineData("awq", "Linear4-g64")]
    [InlineData("awq", "Linear4-sym-row")]
    [InlineData("compressed-tensors", "Linear4-g32")]
    [InlineData("compressed-tensors", "Linear8-sym-row-f32")]
    [InlineData("compressed-tensors", "Linear3-g32")]
    [InlineData("compressed-tensors", "Linear5-sym-g64-bf16")]
    [InlineData("bitsandbytes", "NF4")]
    [InlineData("bitsandbytes", "NF4-g64-f32")]
    [InlineData("fp8", "F8_E4M3-g32-f32")]
    [InlineData("fp8", "F8_E4M3-g64")]
    public void Another_layout_holds_the_same_numbers(string layout, string format)
    {
        string model = GoldenCheckpoint.Folder("llama"), ours = _folder.PathOf("ours"), theirs = _folder.PathOf("theirs");
        Quantize(model, ours, "--to", format, "--keep-output", "F16", "--override", "token_embd=F16");
        JsonElement result = Quantize(model, theirs, "--to", format, "--layout", layout);
        Assert.Equal(new FileInfo(Path.Combine(theirs, "model.safetensors")).Length, result.GetProperty("bytes").GetInt64());
        using TensorFile a = TensorFile.Open(ours), b = TensorFile.Open(theirs);
        Assert.Equal(a.Tensors.Select(t => t.Name).Order(StringComparer.Ordinal), b.Tensors.Select(t => t.Name).Order(StringComparer.Ordinal));
        foreach (TensorInfo tensor in a.Tensors.Where(t => t.Name.Contains("_proj", StringComparison.Ordinal)))
            PackedCheckpoint.AssertSame(a.Load(tensor), b.Load(b.Get(tensor.Name)), 0);
    }

    [Fact]
    public void A_folder_in_another_layout_computes_what_ours_does()
    {
        string model = GoldenCheckpoint.Folder("qwen2"), ours = _folder.PathOf("ours"), theirs = _folder.PathOf("theirs");
        Quantize(model, ours, "--to", "Linear4-g32", "--keep-output", "F32");
        Quantize(model, theirs, "--to", "Linear4-g32", "--layout", "gptq", "--keep-output", "F32");
        GoldenArchitectureTests.AssertClose(Logits(ours), Logits(theirs), theirs);
    }

    /// <summary>The model lies in a folder beside the output while it is laid out; another folder of that name is somebody's.</summary>
    [Fact]
    public void A_folder_that_lies_in_the_way_stays()
    {
        string own = Directory.CreateDirectory(_folder.PathOf("out.ours")).FullName;
        File.WriteAllText(Path.Combine(own, "thesis.txt"), "precious");
        Assert.Contains("out.ours", CommandRun.Of("quantize", GoldenCheckpoint.Folder("llama"), "-o", _folder.PathOf("out"), "--to", "Linear4-g32", "--layout", "gptq").ErrorLine(2), StringComparison.Ordinal);
        Assert.True(File.Exists(Path.Combine(own, "thesis.txt")));
    }

    [Theory]
    [InlineData("Q4_0", "gptq", "holds linear formats only")]
    [InlineData("Linear5-g32", "gptq", "has codes of 2, 3, 4, 8 bits")]
    [InlineData("Linear4-min-g32", "awq", "has zero points, no minimums")]
    [InlineData("NF4-row", "bitsandbytes", "holds NF4 in groups of 64, 128,")]
    [InlineData("F8_E5M2-g64", "fp8", "holds F8_E4M3 in groups")]
    [InlineData("Linear4-g32", "exl2", "there is no layout 'exl2'; known are gptq, awq, compressed-tensors, bitsandbytes, fp8")]
    public void What_a_layout_cannot_hold_is_refused_before_any_work(string format, string layout, string message)
    {
        string output = _folder.PathOf("out");
        string line = CommandRun.Of("quantize", GoldenCheckpoint.Folder("llama"), "-o", output, "--to", format, "--layout", layout).ErrorLine(2);
        Assert.Contains(message, line, StringComparison.Ordinal);
        Assert.Empty(Directory.EnumerateFileSystemEntries(_folder.Path));
    }

    [Fact]
    public void A_layout_has_one_format_for_all() => Assert.Contains("has one format for all, and 'blk.0.attn_q.weight' is Linear4-g32", CommandRun.Of(
        "quantize", GoldenCheckpoint.Folder("llama"), "-o", _folder.PathOf("out"), "--to", "Linear4-g32", "--layout", "gptq", "--override", "ffn_down=Linear8-g32").ErrorLine(2), StringComparison.Ordinal);

    [Fact]
    public void A_gguf_file_has_no_layout() => Assert.Contains("--layout: is for a folder",
        CommandRun.Of("quantize", GoldenCheckpoint.Folder("llama"), "-o", _folder.PathOf("a.gguf"), "--layout", "gptq").ErrorLine(2), StringComparison.Ordinal);

    public void Dispose() => _folder.Dispose();

    private static JsonElement Quantize(string model, string output, params string[] options) => CommandRun.Of(["quantize", model, "-o", output, "--json", .. options]).Json;

    private static float[] Logits(string folder)
    {
        using ModelSource source = ModelSource.Open(folder);
        using var pool = new WorkerPool(1);
        using var model = new DecoderModel(source, pool, new DecoderOptions { InputRounding = InputRounding.None });
        return GoldenArchitectureTests.AllLogits(model, [3, 141, 59, 26, 53]);
    }
}
