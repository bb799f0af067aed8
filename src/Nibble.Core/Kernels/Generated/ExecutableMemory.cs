using System.Runtime.InteropServices;
using Nibble.Core.Memory;

namespace Nibble.Core.Kernels.Generated;

/// <summary>
/// Pages of machine code, kept for the life of the program. They are written first and made executable then, never both at
/// once.
/// </summary>
internal static unsafe partial class ExecutableMemory
{
    // What the systems call them.
    private const int ProtRead = 1, ProtExecute = 4;
    private const uint MemCommitAndReserve = 0x3000, PageReadWrite = 0x04, PageExecuteRead = 0x20;

    /// <summary>The address of a copy of the code that can be called, or 0 where the system allows no such thing.</summary>
    public static nint Load(ReadOnlySpan<byte> code) => OperatingSystem.IsWindows() ? LoadOnWindows(code) : LoadOnUnix(code);

    private static nint LoadOnUnix(ReadOnlySpan<byte> code)
    {
        nint pages = MappedPages.Map(code.Length);
        if (pages == 0) return 0;
        code.CopyTo(new Span<byte>((void*)pages, code.Length));
        if (Protect(pages, (nuint)code.Length, ProtRead | ProtExecute) == 0) return pages;
        MappedPages.Unmap(pages, code.Length);
        return 0;
    }

    private static nint LoadOnWindows(ReadOnlySpan<byte> code)
    {
        nint pages = VirtualAlloc(0, (nuint)code.Length, MemCommitAndReserve, PageReadWrite);
        if (pages == 0) return 0;
        code.CopyTo(new Span<byte>((void*)pages, code.Length));
        return VirtualProtect(pages, (nuint)code.Length, PageExecuteRead, out _) != 0 ? pages : 0;
    }

    [LibraryImport("libc", EntryPoint = "mprotect")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Protect(nint address, nuint length, int protection);

    [LibraryImport("kernel32")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.System32)]
    private static partial nint VirtualAlloc(nint address, nuint size, uint type, uint protection);

    [LibraryImport("kernel32")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.System32)]
    private static partial int VirtualProtect(nint address, nuint size, uint protection, out uint before);
}
