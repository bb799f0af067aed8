using System.Runtime.Intrinsics.X86;
using Iced.Intel;

namespace Nibble.Core.Kernels.Generated;

/// <summary>How generated code asks memory for weights that one token reads, each once and one after the other.</summary>
/// <remarks>
/// They need no place in the second cache, and requests can say so (<c>prefetchnta</c>). AMD's Zen 5 then decodes weights of less than
/// 8 bits up to a fifth faster, Intel's Sapphire Rapids half as fast, so it is done where it was measured (docs/performance.md,
/// "Requests that pass the second cache").
/// </remarks>
internal static class StreamRequests
{
    /// <summary>How far ahead lines are asked for, in bytes, if they are to come to the first cache alone.</summary>
    private const int PassingAhead = 4096;

    /// <summary>AMD's number for the family.</summary>
    private const int Zen5 = 0x1A;

    private static readonly bool s_passes = IsZen5();

    /// <param name="code">What is written to.</param>
    /// <param name="line">What is read now.</param>
    /// <param name="ahead">How far ahead lines are asked for where they are to come to both caches.</param>
    public static void Ask(Assembler code, AssemblerMemoryOperand line, int ahead)
    {
        if (s_passes) code.prefetchnta(line + PassingAhead);
        else code.prefetcht0(line + ahead);
    }

    private static bool IsZen5()
    {
        if (!X86Base.IsSupported) return false;
        (_, int auth, int camd, int enti) = X86Base.CpuId(0, 0);
        bool isAmd = auth == 0x68747541 && enti == 0x69746E65 && camd == 0x444D4163;
        int family = X86Base.CpuId(1, 0).Eax;
        return isAmd && (family >> 8 & 0xF) + (family >> 20 & 0xFF) == Zen5;
    }
}
