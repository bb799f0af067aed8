using System.Runtime.InteropServices;

namespace Nibble.Core.Memory;

/// <summary>Pages of the process's own from Linux or a BSD (macOS): zeros, none of which takes memory before it is touched.</summary>
internal static partial class MappedPages
{
    // MAP_ANONYMOUS is what differs between the systems.
    private const int ProtReadWrite = 1 | 2, MapPrivate = 2, LinuxMapAnonymous = 0x20, BsdMapAnonymous = 0x1000;

    /// <summary>The address of pages that can be read and written, or 0 if the system gives none.</summary>
    public static nint Map(nint bytes)
    {
        nint mapped = Map(0, (nuint)bytes, ProtReadWrite, MapPrivate | (OperatingSystem.IsLinux() ? LinuxMapAnonymous : BsdMapAnonymous), -1, 0);
        return mapped == -1 ? 0 : mapped;
    }

    /// <summary>Gives back whole pages of what was mapped.</summary>
    public static void Unmap(nint address, nint bytes) => _ = Unmap(address, (nuint)bytes);

    [LibraryImport("libc", EntryPoint = "mmap")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial nint Map(nint address, nuint length, int protection, int flags, int file, nint offset);

    [LibraryImport("libc", EntryPoint = "munmap")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Unmap(nint address, nuint length);
}
