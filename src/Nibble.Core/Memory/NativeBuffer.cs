using System.Runtime.InteropServices;

namespace Nibble.Core.Memory;

/// <summary>Native memory, aligned to 64 bytes, and freed when disposed or collected.</summary>
public sealed unsafe class NativeBuffer : SafeHandle
{
    /// <param name="clear">False leaves the contents unspecified and large memory untouched until it is written.</param>
    public NativeBuffer(nint bytes, bool clear = true) : base(0, ownsHandle: true)
    {
        Length = bytes;
        SetHandle((nint)NativeMemory.AlignedAlloc((nuint)Math.Max(bytes, 1), 64));
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
}
