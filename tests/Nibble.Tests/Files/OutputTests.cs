using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Files;
using Nibble.Files.Gguf;
using Nibble.Files.Safetensors;

namespace Nibble.Tests.Files;

/// <summary>What happens to files that are there, and to files that are never finished.</summary>
public sealed class OutputTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private string[] Names => [.. Directory.GetFileSystemEntries(_folder.Path).Select(f => Path.GetFileName(f)!).Order(StringComparer.Ordinal)];

    [Fact]
    public void An_existing_file_is_replaced_only_by_force_and_only_at_the_end()
    {
        string path = _folder.Write("force.gguf", "old"u8);
        UnusableInputException refusal = Assert.Throws<UnusableInputException>(() => new OutputFile(path));
        Assert.EndsWith("; force replaces it", refusal.Message, StringComparison.Ordinal);
        Assert.EndsWith("force.gguf: exists already; --force replaces it", refusal.MessageFor(argument => $"--{argument}"), StringComparison.Ordinal);
        using (var output = new OutputFile(path, force: true))
        {
            output.Stream.Write("new"u8);
            Assert.Equal("old", File.ReadAllText(path));
            output.Commit();
        }
        Assert.Equal("new", File.ReadAllText(path));
        Assert.Equal(["force.gguf"], Names);
    }

    [Fact]
    public void What_is_not_committed_leaves_nothing_and_the_old_file_whole()
    {
        string path = _folder.Write("out.gguf", "old"u8);
        using (var output = new OutputFile(path, force: true)) output.Stream.Write("half"u8);
        Assert.Equal("old", File.ReadAllText(path));
        Assert.Equal(["out.gguf"], Names);
    }

    [Fact]
    public void A_file_that_appears_meanwhile_is_not_replaced()
    {
        string path = _folder.PathOf("out.gguf");
        using var output = new OutputFile(path);
        _folder.Write("out.gguf", "other"u8);
        Assert.Throws<IOException>(output.Commit);
        Assert.Equal("other", File.ReadAllText(path));
    }

    [Fact]
    public void Two_runs_cannot_write_the_same_file()
    {
        string path = _folder.PathOf("out.gguf");
        using var first = new OutputFile(path);
        first.Stream.Write("first"u8);
        first.Stream.Flush();
        Assert.Throws<UnusableInputException>(() => new OutputFile(path));
        first.Commit();
        Assert.Equal("first", File.ReadAllText(path));
    }

    [Fact]
    public void A_file_too_large_for_the_disk_is_refused_at_once()
    {
        string path = _folder.PathOf("out.gguf");
        var tensor = TensorInfo.Of("t", FloatFormat.F32, [1L << 40, 1L << 15]);
        Assert.Contains("the disk has", Assert.Throws<UnusableInputException>(
            () => new GgufWriter(path, new GgufMetadata(path), [tensor])).Message, StringComparison.Ordinal);
        Assert.Empty(Names);
    }

    [Fact]
    public void A_disk_too_full_for_the_rest_does_not_cost_what_is_there()
    {
        string path = _folder.PathOf("out.gguf");
        _folder.Write("out.gguf.partial", "begun"u8);
        Assert.Contains("the disk has", Assert.Throws<UnusableInputException>(() => new OutputFile(path, bytes: long.MaxValue, resume: true)).Message, StringComparison.Ordinal);
        Assert.Equal("begun", File.ReadAllText(path + ".partial"));
    }

    /// <summary>A folder in the place of the partial file stands for all that cannot be written, which a test that runs as root may not meet.</summary>
    [Fact]
    public void What_cannot_be_written_is_found_out_before_the_work_and_nothing_is_left()
    {
        OutputFile.CheckFree(_folder.PathOf("free.gguf"), force: false);
        OutputFolder.CheckFree(_folder.PathOf("free"), force: false);
        OutputFolder.CheckFree(_folder.PathOf("free") + "/", force: false);
        Assert.Empty(Names);
        Directory.CreateDirectory(_folder.PathOf("out.gguf.partial"));
        Assert.Contains("cannot be written", Assert.Throws<UnusableInputException>(() => OutputFile.CheckFree(_folder.PathOf("out.gguf"), force: false)).Message, StringComparison.Ordinal);
        _folder.Write("model.partial", "a file"u8);
        Assert.Contains("cannot be written", Assert.Throws<UnusableInputException>(() => OutputFolder.CheckFree(_folder.PathOf("model"), force: false)).Message, StringComparison.Ordinal);
        Assert.Equal(["model.partial", "out.gguf.partial"], Names);
    }

    [Theory, InlineData("no/such/folder/out.gguf"), InlineData("")]
    public void A_place_that_is_none_is_refused(string path) =>
        Assert.Throws<UnusableInputException>(() => new OutputFile(path.Length == 0 ? "" : _folder.PathOf(path)));

    [Fact]
    public void Devices_and_folders_are_never_replaced()
    {
        Assert.Throws<UnusableInputException>(() => new OutputFile(_folder.Path, force: true));
        if (File.Exists("/dev/null")) Assert.Throws<UnusableInputException>(() => new OutputFile("/dev/null", force: true));
    }

    [Fact]
    public void A_folder_takes_its_place_at_the_end()
    {
        string path = _folder.PathOf("model");
        using (var output = new OutputFolder(path + "/"))
        {
            File.WriteAllText(output.PathOf("config.json"), "{}");
            Assert.False(Directory.Exists(path));
            output.Commit();
        }
        Assert.Equal(["model"], Names);
        Assert.Throws<UnusableInputException>(() => new OutputFolder(path));
        using (var output = new OutputFolder(path, force: true)) File.WriteAllText(output.PathOf("config.json"), "half");
        Assert.Equal("{}", File.ReadAllText(Path.Combine(path, "config.json")));
        using (var output = new OutputFolder(path, force: true))
        {
            File.WriteAllText(output.PathOf("other.json"), "new");
            output.Commit();
        }
        Assert.Equal(["other.json"], Directory.GetFiles(path).Select(Path.GetFileName));
        Assert.Equal(["model"], Names);
    }

    [Fact]
    public void A_folder_that_is_more_than_a_model_is_not_replaced_even_by_force()
    {
        string home = _folder.PathOf("home");
        Directory.CreateDirectory(home);
        Assert.Throws<UnusableInputException>(() => new OutputFolder(home, force: true));
        File.WriteAllText(Path.Combine(home, "config.json"), "{}");
        Directory.CreateDirectory(Path.Combine(home, "photos"));
        Assert.Throws<UnusableInputException>(() => new OutputFolder(home, force: true));
        Assert.True(Directory.Exists(Path.Combine(home, "photos")));
    }

    [Fact]
    public void A_run_killed_at_any_byte_is_resumed_to_the_same_bytes()
    {
        byte[] whole = GgufBytes.Valid();
        using var source = new GgufFile(_folder.Write("in.gguf", whole));
        string path = _folder.PathOf("out.gguf");
        int firstEnd = whole.Length - 320 + 128; // the data is 320 bytes long, the first tensor with its padding 128
        for (int length = 0; length <= whole.Length; length += 7)
        {
            _folder.Write("out.gguf.partial", whole.AsSpan(0, length));
            using (var writer = new GgufWriter(path, source.Metadata, source.Tensors, force: true, resume: true))
            {
                Assert.Equal(length < firstEnd, writer.Current?.Name == "matrix");
                while (writer.Current is { } tensor) writer.Copy(source, tensor);
                writer.Commit();
            }
            Assert.Equal(whole, File.ReadAllBytes(path));
        }
    }

    [Fact]
    public void Another_runs_remains_are_not_taken_for_ones_own()
    {
        byte[] other = GgufBytes.Valid();
        other[40]++;
        _folder.Write("out.gguf.partial", other);
        using var source = new GgufFile(_folder.Write("in.gguf", GgufBytes.Valid()));
        Assert.Contains("other settings", Assert.Throws<UnusableInputException>(
            () => new GgufWriter(_folder.PathOf("out.gguf"), source.Metadata, source.Tensors, resume: true)).Message, StringComparison.Ordinal);
        Assert.Equal(other, File.ReadAllBytes(_folder.PathOf("out.gguf.partial")));
    }

    [Fact]
    public void What_is_kept_can_be_resumed()
    {
        TensorInfo[] tensors = [TensorInfo.Of("a", FloatFormat.F32, [2]), TensorInfo.Of("b", FloatFormat.F32, [2])];
        string path = _folder.PathOf("a.safetensors");
        using (var writer = new SafetensorsWriter(path, tensors))
        {
            writer.Write(new byte[8]);
            writer.Write(new byte[3]);
            writer.Keep();
        }
        Assert.Equal(["a.safetensors.partial"], Names);
        using (var writer = new SafetensorsWriter(path, tensors, resume: true))
        {
            Assert.Equal("b", writer.Current?.Name);
            writer.Write(new byte[8]);
            writer.Commit();
        }
        using var file = new SafetensorsFile(path);
        Assert.Equal(2, file.Tensors.Count);
    }

    [Fact]
    public void A_writer_takes_neither_more_nor_fewer_bytes_than_were_declared()
    {
        using var writer = new SafetensorsWriter(_folder.PathOf("a.safetensors"), [TensorInfo.Of("a", FloatFormat.F32, [2])]);
        Assert.Throws<InvalidOperationException>(() => writer.Write(new byte[9]));
        writer.Write(new byte[7]);
        Assert.Throws<InvalidOperationException>(writer.Commit);
        writer.Write(new byte[1]);
        Assert.Throws<InvalidOperationException>(() => writer.Write(new byte[1]));
    }
}
