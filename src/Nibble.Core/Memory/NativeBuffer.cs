using System.Runtime.InteropServices;

namespace Nibble.Core.Memory;

/// <summary>
/// Native memory, aligned to 64 bytes, and freed when disposed or collected. On Linux much of it at once is mapped by itself:
/// the C library, once it was given back such a piece, takes the next ones of that size from its heaps, whose holes the system
/// never sees again.
/// </summary>
public sealed unsafe partial class NativeBuffer : SafeHandle
{
    /// <summary>Bytes of a huge page.</summary>
    internal const nint HugePage = 2 << 20;

    private const int Alignment = 64;

    /// <summary>Bytes of lasting buffers that may pile up before it is looked whether all are still in use.</summary>
    private const long LeastLasting = 512 << 20;

    private static long s_lasting, s_mostLasting = LeastLasting;

    private readonly bool _isLasting;

    /// <summary>Bytes that are mapped for it; 0 if it is the C library's.</summary>
    private readonly nint _mapped;

    /// <param name="clear">False leaves the contents unspecified; large memory is not touched before it is written either way.</param>
    /// <param name="isLasting">True if it will most likely stay for as long as the program, so that its size is no reason to collect soon.</param>
    public NativeBuffer(nint bytes, bool clear = true, bool isLasting = false) : base(0, ownsHandle: true)
    {
        Length = bytes;
        bool isLarge = bytes >= HugePage;
        if (isLarge && OperatingSystem.IsLinux()) SetHandle(MapPages(_mapped = MappedFor(bytes)));
        if (handle == 0) (_mapped, handle) = (0, (nint)NativeMemory.AlignedAlloc((nuint)Math.Max(bytes, 1), isLarge ? (nuint)HugePage : Alignment));
        if (isLarge) AdviseHugePages((void*)handle, Math.Max(_mapped, bytes));
        if (clear && _mapped == 0) NativeMemory.Clear((void*)handle, (nuint)bytes);
        _isLasting = isLasting;
        if (isLasting) HoldLasting(bytes);
        else GC.AddMemoryPressure(Math.Max(bytes, 1));
    }

    /// <summary>Bytes.</summary>
    public nint Length { get; }

    public byte* Pointer => (byte*)handle;

    public override bool IsInvalid => handle == 0;

    protected override bool ReleaseHandle()
    {
        if (_mapped > 0) MappedPages.Unmap(handle, _mapped);
        else NativeMemory.AlignedFree((void*)handle);
        if (_isLasting) Interlocked.Add(ref s_lasting, -Length);
        else GC.RemoveMemoryPressure(Math.Max(Length, 1));
        return true;
    }

    /// <summary>
    /// Where they have doubled since the last time, what nobody refers to any more is freed. The collector itself would look
    /// again and again while a model is packed, at 10 ms for the strings of a large vocabulary.
    /// </summary>
    private static void HoldLasting(long bytes)
    {
        if (Interlocked.Add(ref s_lasting, bytes) < Volatile.Read(ref s_mostLasting)) return;
        GC.Collect();
        GC.WaitForPendingFinalizers();
        Volatile.Write(ref s_mostLasting, Math.Max(LeastLasting, 2 * Volatile.Read(ref s_lasting)));
    }

    /// <summary>
    /// Bytes of pages for a large buffer. Where it ends with more than a small part of a huge page, that is whole: a virtual
    /// machine may take as long for 64 small pages as for a huge one.
    /// </summary>
    private static nint MappedFor(nint bytes) => Whole(bytes, bytes % HugePage > HugePage / 8 ? HugePage : Environment.SystemPageSize);

    /// <summary>Pages of zeros from Linux, from the start of a huge one on, none of which takes memory before it is touched; 0 if it gives none.</summary>
    private static nint MapPages(nint bytes)
    {
        nint mapped = MappedPages.Map(bytes + HugePage);
        if (mapped == 0) return 0;
        nint first = Whole(mapped, HugePage), before = first - mapped;
        if (before > 0) MappedPages.Unmap(mapped, before);
        MappedPages.Unmap(first + bytes, HugePage - before);
        return first;
    }

    /// <summary>The next multiple of a unit.</summary>
    internal static nint Whole(nint bytes, nint unit) => (bytes + unit - 1) / unit * unit;

    /// <summary>Gives whole huge pages from an offset to the end back to Linux, of which nothing is wanted; touched again they are zeros.</summary>
    internal void Discard(nint from)
    {
        const int MadvDontNeed = 4;
        from = Whole(from, HugePage);
        if (_mapped > from) _ = MemoryAdvise((void*)(handle + from), (nuint)(_mapped - from), MadvDontNeed);
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
