using System.Runtime.Intrinsics.X86;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>How generated code asks memory for weights that are read once and one after the other.</summary>
/// <remarks>
/// AMD's Zen 5 reads ahead by itself, but not beyond a page, and requests for each line hold it up: one for each page to come lets it
/// decode up to half as fast again. Where more is computed than it can look ahead, requests for each line to come to the first cache
/// alone do best (<c>prefetchnta</c>). Intel's Sapphire Rapids loses by either, so both are done where they were measured
/// (docs/performance.md, "Requests by the page").
/// </remarks>
internal static class StreamRequests
{
    /// <summary>How far ahead is asked for what is to come to the first cache alone, in bytes.</summary>
    private const int PassingAhead = 4096;

    private const int Page = 4096;

    /// <summary>The most tokens that leave the processor time to read ahead.</summary>
    private const int FewTokens = 2;

    /// <summary>AMD's number for the family.</summary>
    private const int Zen5 = 0x1A;

    private static readonly bool s_isZen5 = IsZen5();

    /// <summary>Whether packed codes that meet so many tokens are asked for by <see cref="AskForPages"/>.</summary>
    public static bool AreByPage(int tokens) => s_isZen5 && tokens <= FewTokens;

    /// <summary>Asks for one line of each page to come.</summary>
    /// <param name="code">What is written to.</param>
    /// <param name="from">What is read now.</param>
    /// <param name="bytes">That are read before the next call.</param>
    /// <param name="scratch">A register that is overwritten.</param>
    public static void AskForPages(Assembler code, AssemblerRegister64 from, int bytes, AssemblerRegister64 scratch)
    {
        int pages = (bytes + Page / 2) / Page;
        for (int i = 0; i < pages; i++) code.prefetchnta(__[from + PassingAhead + bytes * i / pages]);
        if (pages > 0) return;
        Label skip = code.CreateLabel();
        code.lea(scratch, __[from + bytes]);
        code.xor(scratch, from);
        code.test(scratch, Page);
        code.je(skip);
        code.prefetchnta(__[from + PassingAhead]);
        code.Label(ref skip);
    }

    /// <summary>Asks for a line.</summary>
    /// <param name="code">What is written to.</param>
    /// <param name="line">What is read now.</param>
    /// <param name="ahead">How far ahead lines are asked for where they are to come to both caches.</param>
    public static void Ask(Assembler code, AssemblerMemoryOperand line, int ahead)
    {
        if (s_isZen5) code.prefetchnta(line + PassingAhead);
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
