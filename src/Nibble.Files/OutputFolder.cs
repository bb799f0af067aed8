using System.Runtime.InteropServices;
using Nibble.Core;

namespace Nibble.Files;

/// <summary>
/// A folder of files that is written beside its place, as <c>NAME.partial</c>, and takes its place at the end. Disposed
/// without <see cref="Commit"/>, it is deleted.
/// </summary>
public sealed partial class OutputFolder : IDisposable
{
    private readonly bool _force;
    private bool _done;

    /// <param name="path">Where the folder shall be.</param>
    /// <param name="force">Whether an existing folder may be replaced, if it is a model and nothing else.</param>
    /// <exception cref="UnusableInputException">The folder exists, or it cannot be written there.</exception>
    public OutputFolder(string path, bool force = false)
    {
        Path = System.IO.Path.TrimEndingDirectorySeparator(path);
        _force = force;
        CheckPlace(Path, force);
        try
        {
            if (Directory.Exists(PartialPath)) Directory.Delete(PartialPath, recursive: true);
            Directory.CreateDirectory(PartialPath);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw OutputFile.CannotBeWritten(path, e);
        }
    }

    public string Path { get; }

    public string PartialPath => Path + ".partial";

    /// <summary>Where to write a file of the folder until it is committed.</summary>
    public string PathOf(string file) => System.IO.Path.Combine(PartialPath, file);

    /// <summary>Copies a file into the folder, under its own name.</summary>
    public void Copy(string file) => File.Copy(file, PathOf(System.IO.Path.GetFileName(file)), overwrite: true);

    /// <summary>Says whether a path is free for an output folder and can be written, before any work is done for it.</summary>
    /// <exception cref="UnusableInputException">Something is there that may not be replaced, or it cannot be written.</exception>
    public static void CheckFree(string path, bool force)
    {
        path = System.IO.Path.TrimEndingDirectorySeparator(path);
        CheckPlace(path, force);
        string partial = path + ".partial";
        try
        {
            // What an earlier run left there is deleted when this one begins to write.
            if (Directory.Exists(partial)) return;
            Directory.CreateDirectory(partial);
            Directory.Delete(partial);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw OutputFile.CannotBeWritten(path, e);
        }
    }

    private static void CheckPlace(string path, bool force)
    {
        if (path.Length == 0) throw new UnusableInputException("the output has no name; give it one");
        if (File.Exists(path)) throw new UnusableInputException($"{path}: is a file; name a folder to write");
        string parent = System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(path)) ?? path;
        if (!Directory.Exists(parent)) throw new UnusableInputException($"{path}: the folder {parent} does not exist; create it first");
        if (!Directory.Exists(path)) return;
        if (!force) throw new UnusableInputException($"{path}: exists already; {nameof(force)} replaces it") { Argument = nameof(force) };
        // Replacing deletes: never a home folder, whatever was typed.
        if (!File.Exists(System.IO.Path.Combine(path, "config.json")) || Directory.EnumerateDirectories(path).Any())
            throw new UnusableInputException($"{path}: holds more than a model; {nameof(force)} replaces only a folder with a config.json and no folders in it") { Argument = nameof(force) };
    }

    /// <summary>
    /// Puts the folder in its place. The files in it must be closed. Linux exchanges an old folder with the new one in one
    /// step; elsewhere the old one is renamed first, and a kill in between leaves it as <c>NAME.replaced</c>.
    /// </summary>
    public void Commit()
    {
        ObjectDisposedException.ThrowIf(_done, this);
        CheckPlace(Path, _force);
        if (OperatingSystem.IsLinux() && Directory.Exists(Path) && RenameAt(CurrentFolder, PartialPath, CurrentFolder, Path, Exchange) == 0)
        {
            _done = true;
            Directory.Delete(PartialPath, recursive: true);
            return;
        }
        string old = Path + ".replaced";
        if (Directory.Exists(old)) Directory.Delete(old, recursive: true);
        if (Directory.Exists(Path)) Directory.Move(Path, old);
        Directory.Move(PartialPath, Path);
        _done = true;
        if (Directory.Exists(old)) Directory.Delete(old, recursive: true);
    }

    // renameat2 of linux/fs.h and fcntl.h: AT_FDCWD, RENAME_EXCHANGE.
    private const int CurrentFolder = -100;
    private const uint Exchange = 2;

    [LibraryImport("libc", EntryPoint = "renameat2", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int RenameAt(int oldFolder, string oldPath, int newFolder, string newPath, uint flags);

    public void Dispose()
    {
        if (_done) return;
        _done = true;
        if (Directory.Exists(PartialPath)) Directory.Delete(PartialPath, recursive: true);
    }
}
