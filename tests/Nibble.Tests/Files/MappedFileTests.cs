using Nibble.Core;
using Nibble.Files;

namespace Nibble.Tests.Files;

public sealed unsafe class MappedFileTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_file_that_shrinks_while_it_is_open_is_refused_and_does_not_kill_the_process()
    {
        string path = _folder.Write("a", new byte[100_000]);
        using var file = new MappedFile(path);
        Assert.Equal(0, file.Pointer[99_999]);
        using (var other = new FileStream(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite)) other.SetLength(5000);
        Assert.Contains("shrank", Assert.Throws<UnusableInputException>(() => file.Pointer[0]).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_empty_file_and_a_folder_are_refused()
    {
        Assert.Contains("empty", Assert.Throws<UnusableInputException>(() => new MappedFile(_folder.Write("a", []))).Message, StringComparison.Ordinal);
        Assert.Contains("folder", Assert.Throws<UnusableInputException>(() => new MappedFile(_folder.Path)).Message, StringComparison.Ordinal);
        Assert.Contains("no such", Assert.Throws<UnusableInputException>(() => new MappedFile(_folder.PathOf("b"))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Pages_that_are_not_needed_any_more_leave_the_resident_memory()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "only Linux is told");
        const int length = 256 << 20;
        string path = _folder.Write("a", []);
        using (var sparse = new FileStream(path, FileMode.Open)) sparse.SetLength(length);
        using var file = new MappedFile(path);
        long sum = 0;
        for (int at = 0; at < length; at += 4096) sum += file.Pointer[at];
        long read = ResidentFileBytes();
        file.Advise(0, length, MemoryAdvice.DontNeed);
        Assert.InRange(read - ResidentFileBytes(), length / 2, 2L * length);
        Assert.Equal(sum, file.Pointer[length - 1]);
    }

    [Fact]
    public void Memory_stays_mapped_as_long_as_somebody_shares_it()
    {
        var file = new MappedFile(_folder.Write("a", "abc"u8));
        byte* pointer = file.Pointer;
        object share = file.Share();
        file.Dispose();
        Assert.Equal((byte)'c', pointer[2]);
        Assert.Throws<ObjectDisposedException>(() => file.Pointer[0]);
        GC.KeepAlive(share);
    }

    private static long ResidentFileBytes()
    {
        string line = File.ReadLines("/proc/self/status").First(l => l.StartsWith("RssFile:", StringComparison.Ordinal));
        return 1024 * long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[^2], System.Globalization.CultureInfo.InvariantCulture);
    }
}
