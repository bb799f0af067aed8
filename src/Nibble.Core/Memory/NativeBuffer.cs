using System.Runtime.InteropServices;

namespace Nibble.Core.Memory;

/// <summary>Native memory, aligned to 64 bytes, and freed when disposed or collected.</summary>
public sealed unsafe partial class NativeBuffer : SafeHandle
{
    private const nint HugePage = 2 << 20;

    /// <param name="clear">False leaves the contents unspecified and large memory untouched until it is written.</param>
    public NativeBuffer(nint bytes, bool clear = true) : base(0, ownsHandle: true)
    {
        Length = bytes;
        bool huge = bytes >= 2 * HugePage;
        SetHandle((nint)NativeMemory.AlignedAlloc((nuint)Math.Max(bytes, 1), huge ? (nuint)HugePage : 64));
        if (huge) AdviseHugePages((void*)handle, bytes);
        if (clear) NativeMemory.Clear((void*)handle, (nuint)bytes);
        GC.AddMemoryPressure(Math.Max(bytes, 1));
    }

    /// <summary>Bytes.</summary>
    public nint Length { get; }

    public byte* Pointer => (byte*)handle;

    public override bool IsInvalid => handle == 0;

    protected override bool ReleaseHandle()
    {
        NativeMemory.AlignedFree((void*)handle);
        GC.RemoveMemoryPressure(Math.Max(Length, 1));
        return true;
    }

    /// <summary>
    /// Asks Linux for pages of 2 MiB: weights are read once a token, and with small pages the look-ups of addresses cost as
    /// much as the bytes. Elsewhere, or where the system has none, nothing changes.
    /// </summary>
    private static void AdviseHugePages(void* address, nint bytes)
    {
        const int MadvHugePage = 14;
        if (OperatingSystem.IsLinux()) _ = MemoryAdvise(address, (nuint)bytes, MadvHugePage);
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int MemoryAdvise(void* address, nuint bytes, int advice);
}
