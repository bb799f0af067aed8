using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace Nibble.Core.Memory;

/// <summary>Hints for the caches.</summary>
internal static unsafe class CacheLines
{
    /// <summary>Bytes of a line.</summary>
    public const int Line = 64;

    /// <summary>Asks memory for the lines of some bytes, into the second cache. It is a hint: nothing is read, and no address can be wrong.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Ask(byte* from, nint bytes)
    {
        if (!Sse.IsSupported) return;
        for (nint at = 0; at < bytes; at += Line) Sse.Prefetch1(from + at);
    }
}
