using System.Text.Json;
using Nibble.Files;
using Nibble.Files.Gguf;
using Nibble.Tests.Files;

namespace Nibble.Tests.Cli;

/// <summary>A run that was stopped and goes on makes the file that it would have made.</summary>
public sealed class ResumeTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static string[] Options(string method) => method == "nearest" ? ["--to", "Q4_K_M"]
        : ["--to", "Q3_K_S", "--calibration", EmbeddedModel.Text, "--calibration-chunks", "2", "--method", method];

    /// <summary>
    /// A kill leaves a file that ends anywhere, for it is written front to back: in the header, between tensors, within one,
    /// with everything written but not yet in its place.
    /// </summary>
    [Theory, InlineData("nearest"), InlineData("gptq"), InlineData("awq")]
    public void A_run_killed_at_any_byte_goes_on_to_the_same_bytes(string method)
    {
        string output = _folder.PathOf("m.gguf"), partial = output + ".partial";
        string[] command = ["quantize", EmbeddedModel.Folder, "-o", output, "--json", "--resume", .. Options(method)];
        JsonElement uninterrupted = CommandRun.Of(command).Json;
        byte[] whole = File.ReadAllBytes(output);
        foreach (double share in (double[])(method == "nearest" ? [0, 0.3, 0.9, 1] : [0.01, 0.55, 0.9]))
        {
            int length = (int)(share * whole.Length);
            File.WriteAllBytes(partial, whole[..length]);
            File.Delete(output);
            JsonElement resumed = CommandRun.Of(command).Json;
            Assert.True(whole.AsSpan().SequenceEqual(File.ReadAllBytes(output)), $"killed at byte {length}");
            Assert.False(File.Exists(partial));
            Assert.Equal(Finished(whole, length), resumed.GetProperty("tensors").EnumerateArray().Count(t => t.GetProperty("method").GetString() == "resumed"));
            foreach ((JsonElement a, JsonElement b) in uninterrupted.GetProperty("tensors").EnumerateArray().Zip(resumed.GetProperty("tensors").EnumerateArray()))
                Assert.Equal(a.GetProperty("relative_mse").GetDouble(), b.GetProperty("relative_mse").GetDouble(), 1e-9);
        }
    }

    [Fact]
    public void A_run_that_is_cancelled_is_kept_for_the_next_only_where_it_is_to_be_resumed()
    {
        string output = _folder.PathOf("m.gguf");
        using var cancelled = new CancellationTokenSource();
        cancelled.Cancel();
        string[] command = ["quantize", EmbeddedModel.Folder, "-o", output];
        Assert.Contains("nothing was left", CommandRun.Of(cancelled.Token, command).ErrorLine(1), StringComparison.Ordinal);
        Assert.Empty(Directory.EnumerateFiles(_folder.Path));
        Assert.Contains("m.gguf.partial keeps what is done", CommandRun.Of(cancelled.Token, [.. command, "--resume"]).ErrorLine(1), StringComparison.Ordinal);
        Assert.Equal(["m.gguf.partial"], Directory.EnumerateFiles(_folder.Path).Select(Path.GetFileName));
        Assert.Equal(0, CommandRun.Of([.. command, "--resume"]).ExitCode);
        Assert.Equal(["m.gguf"], Directory.EnumerateFiles(_folder.Path).Select(Path.GetFileName));
    }

    /// <summary>Calibrated on other text, or with another range: the bits would be others.</summary>
    [Theory]
    [InlineData("--to", "Q4_0")]
    [InlineData("--range", "min-max")]
    [InlineData("--override", "ffn_down=Q6_K")]
    public void What_was_begun_otherwise_is_not_taken_up(params string[] other)
    {
        string output = _folder.PathOf("m.gguf");
        using var cancelled = new CancellationTokenSource();
        cancelled.Cancel();
        string[] command = ["quantize", EmbeddedModel.Folder, "-o", output, "--resume"];
        CommandRun.Of(cancelled.Token, [.. command, "--to", "Q4_K_S"]);
        byte[] begun = File.ReadAllBytes(output + ".partial");
        string[] to = other[0] == "--to" ? [] : ["--to", "Q4_K_S"];
        Assert.Contains("other settings", CommandRun.Of([.. command, .. to, .. other]).ErrorLine(2), StringComparison.Ordinal);
        Assert.Equal(begun, File.ReadAllBytes(output + ".partial"));
    }

    /// <summary>Tensors that end before a length, by the file's own header.</summary>
    private unsafe int Finished(byte[] whole, int length)
    {
        using var file = new GgufFile(_folder.Write("copy.gguf", whole));
        byte* start = file.Data(file.Tensors[^1]) + file.Tensors[^1].Bytes - whole.Length;
        return file.Tensors.Count(t => file.Data(t) + t.Bytes - start <= length);
    }

    public void Dispose() => _folder.Dispose();
}
