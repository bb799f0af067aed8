namespace Nibble.Tests.Files;

/// <summary>A folder of its own for a test, deleted at the end.</summary>
public sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("nibble-test-").FullName;

    public string PathOf(string file) => System.IO.Path.Combine(Path, file);

    /// <summary>Writes a file and returns its path.</summary>
    public string Write(string file, ReadOnlySpan<byte> bytes)
    {
        File.WriteAllBytes(PathOf(file), bytes);
        return PathOf(file);
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
