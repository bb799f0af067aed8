using System.IO.MemoryMappedFiles;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using Nibble.Core;
using Nibble.Core.Memory;

namespace Nibble.Files;

/// <summary>
/// A whole file, mapped for reading. The memory stays until the file is disposed and every object that
/// <see cref="Share"/> handed out is collected, so a view of it never dangles.
/// </summary>
public sealed unsafe partial class MappedFile : IDisposable
{
    private readonly SafeFileHandle _file;
    private readonly MemoryMappedViewAccessor _view;
    private readonly byte* _pointer;
    private bool _disposed;

    /// <exception cref="UnusableInputException">The file is missing, empty, a folder, or may not be read.</exception>
    public MappedFile(string path)
    {
        Path = path;
        var info = new FileInfo(path);
        if (Directory.Exists(path)) throw new UnusableInputException($"{path}: is a folder, not a file");
        if (!info.Exists) throw new UnusableInputException($"{path}: there is no such file");
        // Asked before opening: a pipe, whose length is 0 too, would make the opening wait for a writer.
        if (info.Length == 0) throw new UnusableInputException($"{path}: the file is empty; download or write it again");
        try
        {
            _file = File.OpenHandle(path);
            // The name may be that of a pipe of this process (/dev/stdin), which seems to have a length.
            Length = RandomAccess.GetLength(_file);
            using var mapping = MemoryMappedFile.CreateFromFile(
                _file, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
            _view = mapping.CreateViewAccessor(0, Length, MemoryMappedFileAccess.Read);
            _view.SafeMemoryMappedViewHandle.AcquirePointer(ref _pointer);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            _file?.Dispose();
            throw Unreadable(path, e);
        }
    }

    public string Path { get; }

    /// <summary>Bytes, when the file was opened.</summary>
    public long Length { get; }

    /// <summary>The first byte.</summary>
    /// <exception cref="UnusableInputException">
    /// The file has become shorter, so that reading its end would kill the process.
    /// </exception>
    public byte* Pointer
    {
        get
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            long now = RandomAccess.GetLength(_file);
            return now < Length ? throw Shrank(Path, Length, now) : _pointer;
        }
    }

    /// <summary>Something that keeps the memory mapped for as long as it is reachable, whether this is disposed or not.</summary>
    public object Share() => new Hold(this);

    private static UnusableInputException Shrank(string path, long before, long now) =>
        new($"{path}: shrank from {before} to {now} bytes while it was being read; something else writes to it");

    private static UnusableInputException Unreadable(string path, Exception cause) =>
        new($"{path}: cannot be read: {cause.Message.ReplaceLineEndings(" ")}", cause);

    /// <summary>Tells the operating system what will happen to a part of the file. Does nothing where it cannot be told.</summary>
    public void Advise(long offset, long bytes, MemoryAdvice advice)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        ArgumentOutOfRangeException.ThrowIfGreaterThan((ulong)offset, (ulong)Length);
        Advise(_pointer + offset, (nint)Math.Min(bytes, Length - offset), advice);
    }

    private static void Advise(byte* address, nint bytes, MemoryAdvice advice)
    {
        if (!OperatingSystem.IsLinux() || bytes <= 0) return;
        nint before = (nint)address % Environment.SystemPageSize;
        int code = advice switch { MemoryAdvice.Sequential => 2, MemoryAdvice.WillNeed => 3, _ => 4 };
        _ = MAdvise(address - before, (nuint)(before + bytes), code);
    }

    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view.Dispose();
        _file.Dispose();
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int MAdvise(void* address, nuint length, int advice);

    /// <summary>One count of the references to the view and to the file, given back when this is collected.</summary>
    private sealed class Hold : IMappedMemory
    {
        private readonly string _path;
        private readonly long _length;
        private readonly byte* _pointer;
        private readonly SafeFileHandle? _file;
        private readonly SafeMemoryMappedViewHandle? _view;

        public Hold(MappedFile mapped)
        {
            (_path, _length) = (mapped.Path, mapped.Length);
            _pointer = mapped._pointer;
            byte* pointer = null;
            mapped._view.SafeMemoryMappedViewHandle.AcquirePointer(ref pointer);
            _view = mapped._view.SafeMemoryMappedViewHandle;
            bool added = false;
            mapped._file.DangerousAddRef(ref added);
            _file = mapped._file;
        }

        public void Read(byte* address, Span<byte> into)
        {
            long at = address - _pointer;
            try
            {
                for (int read; into.Length > 0; into = into[read..], at += read)
                    if ((read = RandomAccess.Read(_file!, into, at)) == 0) throw Shrank(_path, _length, RandomAccess.GetLength(_file!));
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw Unreadable(_path, e);
            }
        }

        public void DoneWith(byte* address, nint bytes) => Advise(address, bytes, MemoryAdvice.DontNeed);

        ~Hold()
        {
            _view?.ReleasePointer();
            _file?.DangerousRelease();
        }
    }
}
