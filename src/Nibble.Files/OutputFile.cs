using System.Runtime.InteropServices;
using Nibble.Core;

namespace Nibble.Files;

/// <summary>
/// A file that is written beside its place, as <c>NAME.partial</c>, and takes its place at the end: whatever happens in
/// between, the old file is intact and no half a file has the name. Disposed without <see cref="Commit"/>, it is deleted.
/// </summary>
public sealed partial class OutputFile : IDisposable
{
    /// <summary>Bytes after which the disk is told to begin.</summary>
    private const long WriteBehindBytes = 32 << 20;

    private readonly bool _force;
    private long _begun;
    private bool _done;

    /// <param name="path">Where the file shall be.</param>
    /// <param name="force">Whether an existing file may be replaced.</param>
    /// <param name="bytes">The length it will have, if known: a disk too full for it is found out now, not at the end.</param>
    /// <param name="resume">Whether to keep what a killed run left beside.</param>
    /// <exception cref="UnusableInputException">The file exists, or it cannot be written there.</exception>
    public OutputFile(string path, bool force = false, long bytes = 0, bool resume = false)
    {
        Path = path;
        _force = force;
        CheckPlace(path, force);
        try
        {
            Stream = new FileStream(PartialPath, new FileStreamOptions
            {
                Mode = resume ? FileMode.OpenOrCreate : FileMode.Create,
                Access = FileAccess.ReadWrite,
                Share = FileShare.None,
                BufferSize = 1 << 16,
            });
            CheckRoom(bytes);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            // What an earlier run wrote is not lost because the disk has no room for the rest.
            if (resume && Stream is { Length: > 0 }) Keep();
            else Dispose();
            throw CannotBeWritten(path, e);
        }
    }

    public string Path { get; }

    public string PartialPath => Path + ".partial";

    public FileStream Stream { get; }

    /// <summary>
    /// Lets the disk begin with what was written so far, front to back, so that <see cref="Commit"/> need not wait for all of
    /// it. Linux would otherwise keep it for half a minute.
    /// </summary>
    public void WriteBehind()
    {
        long end = Stream.Position;
        if (!OperatingSystem.IsLinux() || end - _begun < WriteBehindBytes) return;
        _ = SyncFileRange((int)Stream.SafeFileHandle.DangerousGetHandle(), _begun, end - _begun, BeginWriting);
        _begun = end;
    }

    /// <summary>Says whether a path is free for an output and can be written, before any work is done for it.</summary>
    /// <exception cref="UnusableInputException">Something is there that may not be replaced, or its folder is missing, or it cannot be written.</exception>
    public static void CheckFree(string path, bool force)
    {
        CheckPlace(path, force);
        string partial = path + ".partial";
        bool isThere = File.Exists(partial);
        try
        {
            File.OpenHandle(partial, FileMode.OpenOrCreate, FileAccess.Write).Dispose();
            if (!isThere) File.Delete(partial);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            throw CannotBeWritten(path, e);
        }
    }

    /// <summary>What is said of an output that the system refuses.</summary>
    internal static UnusableInputException CannotBeWritten(string path, Exception e) => new($"{path}: cannot be written: {e.Message.ReplaceLineEndings(" ")}", e);

    private static void CheckPlace(string path, bool force)
    {
        if (path.Length == 0) throw new UnusableInputException("the output has no name; give it one");
        if (Directory.Exists(path)) throw new UnusableInputException($"{path}: is a folder; name a file to write");
        string folder = System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(path)) ?? path;
        if (!Directory.Exists(folder)) throw new UnusableInputException($"{path}: the folder {folder} does not exist; create it first");
        if (!File.Exists(path)) return;
        if (!force) throw new UnusableInputException($"{path}: exists already; {nameof(force)} replaces it") { Argument = nameof(force) };
        // A rename over a device would put a file in its place.
        if (System.IO.Path.GetFullPath(path).StartsWith("/dev/", StringComparison.Ordinal))
            throw new UnusableInputException($"{path}: is a device; name a file to write");
    }

    /// <summary>Puts all bytes on the disk and the file in its place.</summary>
    public void Commit()
    {
        ObjectDisposedException.ThrowIf(_done, this);
        Stream.Flush(flushToDisk: true);
        Stream.Dispose();
        File.Move(PartialPath, Path, _force);
        _done = true;
    }

    /// <summary>Closes the file but leaves what was written beside its place, for a later run to resume.</summary>
    public void Keep()
    {
        Stream.Dispose();
        _done = true;
    }

    public void Dispose()
    {
        if (_done || Stream is null) return;
        _done = true;
        try
        {
            Stream.Dispose();
        }
        catch (IOException)
        {
            // A full disk fails the last flush too; what it would have saved is deleted next.
        }
        File.Delete(PartialPath);
    }

    // SYNC_FILE_RANGE_WRITE of linux/fs.h.
    private const uint BeginWriting = 2;

    [LibraryImport("libc", EntryPoint = "sync_file_range")]
    private static partial int SyncFileRange(int file, long offset, long bytes, uint flags);

    private void CheckRoom(long bytes)
    {
        string folder = System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(Path))!;
        // A share of a Windows network is no drive that could be asked.
        if (bytes == 0 || (OperatingSystem.IsWindows() && folder.StartsWith(@"\\", StringComparison.Ordinal))) return;
        long free = new DriveInfo(folder).AvailableFreeSpace + Stream.Length;
        if (free < bytes) throw new IOException($"it takes {bytes} bytes, and the disk has {free} free");
    }
}
