using System.Text.Json;
using Nibble.Files;
using Nibble.Files.Gguf;
using Nibble.Tests.Files;

namespace Nibble.Tests.Cli;

/// <summary>What is measured once of a model and kept with --statistics serves later runs, and changes none of their bytes.</summary>
public sealed class StatisticsTests : IDisposable
{
    private const string Chunks = "2";

    private readonly TemporaryFolder _folder = new();

    private string Statistics => _folder.PathOf("statistics");

    private string Moments => Path.Combine(Statistics, "moments.gguf");

    private static string[] Command(string output, params string[] options) =>
        ["quantize", EmbeddedModel.Folder, "-o", output, "--force", "--json", "--calibration", EmbeddedModel.Text, .. options];

    private string[] OnePass(string output, string method = "gptq", string chunks = Chunks) =>
        Command(output, "--one-pass", "--to", "Q3_K_S", "--method", method, "--calibration-chunks", chunks);

    private byte[] Made(string[] command, out JsonElement use)
    {
        JsonElement result = CommandRun.Of(command).Json;
        use = result.GetProperty("statistics");
        return File.ReadAllBytes(command[3]);
    }

    [Theory, InlineData("gptq"), InlineData("awq"), InlineData("smoothquant")]
    public void Saved_moments_make_the_same_file_as_measured_ones(string method)
    {
        string output = _folder.PathOf("m.gguf");
        byte[] without = Made(OnePass(output, method), out JsonElement none);
        Assert.Equal(JsonValueKind.Null, none.ValueKind);
        byte[] measured = Made([.. OnePass(output, method), "--statistics", Statistics], out JsonElement first);
        byte[] reused = Made([.. OnePass(output, method), "--statistics", Statistics, "--threads", "1"], out JsonElement second);
        Assert.True(without.AsSpan().SequenceEqual(measured));
        Assert.True(without.AsSpan().SequenceEqual(reused));
        int inputs = first.GetProperty("moments_measured").GetInt32();
        Assert.True(inputs > 0);
        Assert.Equal((0, inputs), (first.GetProperty("moments_reused").GetInt32(), second.GetProperty("moments_reused").GetInt32()));
        Assert.Equal(0, second.GetProperty("moments_measured").GetInt32());
    }

    [Fact]
    public void One_pass_is_told_from_the_layers_one_after_the_other()
    {
        byte[] onePass = Made(OnePass(_folder.PathOf("m.gguf")), out _);
        byte[] sequential = Made(Command(_folder.PathOf("m.gguf"), "--to", "Q3_K_S", "--calibration-chunks", Chunks), out _);
        Assert.False(onePass.AsSpan().SequenceEqual(sequential));
        using var file = new GgufFile(_folder.Write("copy.gguf", onePass));
        Assert.Contains("one-pass", file.Metadata.GetString("nibble.recipe"), StringComparison.Ordinal);
    }

    /// <summary>Prices are those of the model, so one budget's serve another's.</summary>
    [Fact]
    public void Saved_prices_make_the_same_plan_as_measured_ones()
    {
        JsonElement Plan(string bits, params string[] more) => CommandRun.Of(Command(_folder.PathOf("m.gguf"), ["--bits", bits, "--dry-run", .. more])).Json;
        JsonElement other = Plan("4", "--statistics", Statistics), reused = Plan("3.5", "--statistics", Statistics), without = Plan("3.5");
        Assert.Equal(without.GetProperty("tensors").GetRawText(), reused.GetProperty("tensors").GetRawText());
        Assert.NotEqual(without.GetProperty("tensors").GetRawText(), other.GetProperty("tensors").GetRawText());
        int prices = other.GetProperty("statistics").GetProperty("prices_measured").GetInt32();
        JsonElement use = reused.GetProperty("statistics");
        Assert.True(prices > 0);
        Assert.Equal((prices, 0), (use.GetProperty("prices_reused").GetInt32(), use.GetProperty("prices_measured").GetInt32()));
        Assert.False(File.Exists(Moments));
    }

    [Fact]
    public void A_stopped_measurement_goes_on_to_the_same_bytes()
    {
        string[] command = [.. OnePass(_folder.PathOf("m.gguf")), "--statistics", Statistics];
        Made(command, out JsonElement first);
        byte[] whole = File.ReadAllBytes(Moments);
        foreach (double share in (double[])[0, 0.01, 0.5, 0.97])
        {
            File.Delete(Moments);
            File.WriteAllBytes(Moments + ".partial", whole[..(int)(share * whole.Length)]);
            Made(command, out JsonElement use);
            Assert.True(whole.AsSpan().SequenceEqual(File.ReadAllBytes(Moments)), $"stopped at {share}");
            Assert.False(File.Exists(Moments + ".partial"));
            Assert.True(share < 0.5 || use.GetProperty("moments_measured").GetInt32() < first.GetProperty("moments_measured").GetInt32());
        }
    }

    [Theory]
    [InlineData("--calibration-chunks", "3", "was measured with 2 chunks of text, and 3 are asked for")]
    [InlineData("--calibration", "OTHER", "was measured with another text")]
    public void What_was_measured_otherwise_is_refused(string option, string value, string expected)
    {
        string output = _folder.PathOf("m.gguf");
        Made([.. OnePass(output), "--statistics", Statistics], out _);
        string[] command = [.. OnePass(output), "--statistics", Statistics];
        command[Array.IndexOf(command, option) + 1] = value == "OTHER" ? OtherText() : value;
        string error = CommandRun.Of(command).ErrorLine(2);
        Assert.Contains("moments.gguf", error, StringComparison.Ordinal);
        Assert.Contains(expected, error, StringComparison.Ordinal);
    }

    [Fact]
    public void Statistics_of_another_model_are_refused()
    {
        string model = _folder.PathOf("other"), output = _folder.PathOf("m.gguf");
        Directory.CreateDirectory(model);
        foreach (string file in Directory.EnumerateFiles(EmbeddedModel.Folder)) File.Copy(file, Path.Combine(model, Path.GetFileName(file)));
        Made([.. OnePass(output), "--statistics", Statistics], out _);
        string config = Path.Combine(model, "config.json");
        File.WriteAllText(config, File.ReadAllText(config).Replace("10000.0", "20000.0", StringComparison.Ordinal));
        string[] command = [.. OnePass(output), "--statistics", Statistics];
        command[1] = model;
        Assert.Contains("another model", CommandRun.Of(command).ErrorLine(2), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("gptq", "", "add --one-pass")]
    [InlineData("nearest", "--one-pass", "give --calibration TEXT")]
    public void Statistics_that_nothing_uses_are_refused(string method, string more, string expected)
    {
        string[] text = method == "nearest" ? [] : ["--calibration", EmbeddedModel.Text];
        Assert.Contains(expected, CommandRun.Of(["quantize", EmbeddedModel.Folder, "-o", _folder.PathOf("m.gguf"), "--method", method,
            "--statistics", Statistics, .. text, .. more.Split(' ', StringSplitOptions.RemoveEmptyEntries)]).ErrorLine(2), StringComparison.Ordinal);
        Assert.False(Directory.Exists(Statistics));
    }

    [Fact]
    public void A_truncated_file_is_refused_in_one_line()
    {
        string[] command = [.. OnePass(_folder.PathOf("m.gguf")), "--statistics", Statistics];
        Made(command, out _);
        byte[] whole = File.ReadAllBytes(Moments);
        foreach (int length in (int[])[0, 3, 100, whole.Length / 2, whole.Length - 64])
        {
            File.WriteAllBytes(Moments, whole[..length]);
            Assert.Contains("moments.gguf", CommandRun.Of(command).ErrorLine(2), StringComparison.Ordinal);
        }
        File.Copy(Path.Combine(EmbeddedModel.Folder, "config.json"), Moments, overwrite: true);
        Assert.Contains("moments.gguf", CommandRun.Of(command).ErrorLine(2), StringComparison.Ordinal);
    }

    /// <summary>Sums that no inputs have: a square below zero, a product larger than its squares, no numbers, no or too many tokens.</summary>
    [Fact]
    public void A_lying_file_is_refused_in_one_line()
    {
        string[] command = [.. OnePass(_folder.PathOf("m.gguf")), "--statistics", Statistics];
        Made(command, out _);
        byte[] whole = File.ReadAllBytes(Moments);
        foreach ((string part, int index, float lie) in new[]
        {
            (".moments", 0, -1f), (".moments", 0, float.NaN), (".moments", 1, 1e9f), (".largest", 5, 1e9f), (".largest", 5, float.PositiveInfinity),
            (".tokens", 1, 0f), (".tokens", 1, 1.5f), (".tokens", 0, 1f),
        })
        {
            File.WriteAllBytes(Moments, whole);
            byte[] bytes = [.. whole];
            BitConverter.TryWriteBytes(bytes.AsSpan((int)OffsetOf("blk.0.attn_q" + part) + index * sizeof(float)), lie);
            File.WriteAllBytes(Moments, bytes);
            string error = CommandRun.Of(command).ErrorLine(2);
            Assert.Contains("those of no inputs", error, StringComparison.Ordinal);
            Assert.Contains("blk.0.attn_q", error, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Prices_that_are_none_are_refused_in_one_line()
    {
        string prices = Path.Combine(Statistics, "prices.gguf");
        string[] command = Command(_folder.PathOf("m.gguf"), "--bits", "3.5", "--calibration-chunks", Chunks, "--statistics", Statistics, "--dry-run");
        CommandRun.Of(command);
        using (var file = new GgufFile(prices))
        {
            foreach ((string key, object value, string expected) in new (string, object, string)[]
            {
                ("nibble.divergences", new double[file.Metadata.GetArray<double>("nibble.divergences").Length - 1], "differ in length"),
                ("nibble.divergences", file.Metadata.GetArray<double>("nibble.divergences").Select(_ => double.NaN).ToArray(), "is none"),
                ("nibble.tensors", file.Metadata.GetArray<string>("nibble.tensors").Select(_ => "one").ToArray(), "two prices"),
                ("nibble.precision", "other", "another build"),
            })
            {
                var lying = new GgufMetadata(file.Metadata, prices);
                lying.Set(key, value);
                using (var writer = new GgufWriter(prices, lying, [], force: true)) writer.Commit();
                Assert.Contains(expected, CommandRun.Of(command).ErrorLine(2), StringComparison.Ordinal);
            }
        }
    }

    private unsafe long OffsetOf(string tensor)
    {
        using var file = new GgufFile(Moments);
        TensorInfo last = file.Tensors[^1];
        return file.Data(file.Get(tensor)) - file.Data(last) - last.Bytes + new FileInfo(Moments).Length - Padding(last.Bytes);
    }

    private static long Padding(long bytes) => (32 - bytes % 32) % 32;

    private string OtherText() => _folder.Write("other.txt", File.ReadAllBytes(EmbeddedModel.Text).AsSpan(1000, 60_000));

    public void Dispose() => _folder.Dispose();
}
