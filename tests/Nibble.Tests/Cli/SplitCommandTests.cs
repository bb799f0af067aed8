using System.Text.Json;
using Nibble.Files;
using Nibble.Files.Gguf;
using Nibble.Tests.Files;

namespace Nibble.Tests.Cli;

public sealed class SplitCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private string Whole()
    {
        string whole = _folder.PathOf("whole.gguf");
        if (!File.Exists(whole)) Assert.Equal(0, CommandRun.Of("quantize", EmbeddedModel.Folder, "--to", "Q8_0", "-o", whole).ExitCode);
        return whole;
    }

    private string[] Split(params string[] options) =>
        [.. CommandRun.Of(["split", Whole(), "-o", _folder.PathOf("part"), "--json", .. options]).Json.GetProperty("output").EnumerateArray().Select(s => s.GetString()!)];

    [Theory]
    [InlineData("--max-tensors", "20", 3)]
    [InlineData("--max-size", "2.5M", 3)]
    [InlineData("--max-size", "2.5 MB", 3)]
    [InlineData("--max-size", "1G", 1)]
    [InlineData("--max-size", "1GiB", 1)]
    public void Shards_merge_to_the_same_bytes(string option, string value, int shards)
    {
        string[] paths = Split(option, value);
        Assert.Equal([.. Enumerable.Range(1, shards).Select(i => _folder.PathOf($"part-{i:D5}-of-{shards:D5}.gguf"))], paths);
        string merged = _folder.PathOf("merged.gguf");
        CommandRun merge = CommandRun.Of("merge", paths[0], "-o", merged, "--json");
        if (shards == 1)
        {
            Assert.Contains("one file already", merge.ErrorLine(2), StringComparison.Ordinal);
            return;
        }
        Assert.Equal(shards, merge.Json.GetProperty("shards").GetInt32());
        Assert.Equal(File.ReadAllBytes(Whole()), File.ReadAllBytes(merged));
        Assert.Contains("--force", CommandRun.Of("merge", paths[0], "-o", merged).ErrorLine(2), StringComparison.Ordinal);
        Assert.Contains("--force", CommandRun.Of("split", Whole(), "-o", _folder.PathOf("part"), option, value).ErrorLine(2), StringComparison.Ordinal);
        Assert.Equal(paths, Split(option, value, "--force"));
    }

    [Fact]
    public void The_first_shard_is_a_model_to_every_verb()
    {
        string first = Split("--max-tensors", "20")[0];
        string[] run = ["-p", "The old man", "-n", "8", "--temperature", "0", "--json"];
        Assert.Equal(Text(CommandRun.Of(["run", Whole(), .. run])), Text(CommandRun.Of(["run", first, .. run])));
        JsonElement eval = CommandRun.Of("eval", first, "--reference", Whole(), "--context", "64", "--chunks", "2", "--json").Json;
        Assert.Equal(0, eval.GetProperty("kld").GetProperty("max").GetDouble(), 1e-9);
        string ofShards = _folder.PathOf("q4s.gguf"), ofWhole = _folder.PathOf("q4w.gguf");
        foreach ((string source, string output) in new[] { (first, ofShards), (Whole(), ofWhole) })
            Assert.Equal(0, CommandRun.Of("quantize", source, "--to", "Q4_0", "--allow-requantize", "-o", output).ExitCode);
        using GgufFile a = new(ofShards), b = new(ofWhole);
        Assert.Equal(b.Metadata.Keys, a.Metadata.Keys);
        foreach (TensorInfo tensor in b.Tensors) Assert.True(Bytes(b, tensor).SequenceEqual(Bytes(a, a.Get(tensor.Name))), tensor.Name);
    }

    [Theory]
    [InlineData("--max-size", "0")]
    [InlineData("--max-size", "4X")]
    [InlineData("--max-size", "-4G")]
    [InlineData("--max-tensors", "0")]
    [InlineData("--force", "true")]
    public void A_size_that_is_none_is_refused(string option, string value) =>
        Assert.Contains("--max-", CommandRun.Of("split", _folder.PathOf("none.gguf"), "-o", _folder.PathOf("part"), option, value).ErrorLine(2), StringComparison.Ordinal);

    private static unsafe ReadOnlySpan<byte> Bytes(TensorFile file, TensorInfo tensor) => new(file.Data(tensor), (int)tensor.Bytes);

    private static string? Text(CommandRun run) => run.Json.GetProperty("text").GetString();

    public void Dispose() => _folder.Dispose();
}
