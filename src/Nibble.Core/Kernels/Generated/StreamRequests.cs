using System.Runtime.Intrinsics.X86;
using Iced.Intel;
using Nibble.Core.Memory;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>How generated code asks memory for weights that are read once and one after the other.</summary>
/// <remarks>
/// AMD's Zen 5 reads ahead by itself, but not beyond a page, and requests for each line hold it up: one for each page to come lets one
/// token decode up to half as fast again. Where so much is computed meanwhile that it does not look far ahead, lines are asked for as
/// well; floats do best with requests for each line to come to the first cache alone (<c>prefetchnta</c>). Intel's Sapphire Rapids
/// loses by all of that, so it is done where it was measured (docs/performance-log.md, "Requests by the page").
/// </remarks>
internal static class StreamRequests
{
    /// <summary>Bytes of a page. The Zen 5 is asked for what is a page ahead, but for lines that are to come to the second cache.</summary>
    private const int Page = 4096;

    /// <summary>Tokens that leave the processor time to read ahead, and that leave it some.</summary>
    private const int FewTokens = 2, SomeTokens = 4;

    /// <summary>How far ahead lines are asked for elsewhere, in bytes, and everywhere those that are to come to the second cache alone.</summary>
    private const int Ahead = PackedKernel.Ahead, FarAhead = 8192;

    /// <summary>AMD's number for the family.</summary>
    private const int Zen5 = 0x1A;

    private static readonly bool s_isZen5 = IsZen5();

    /// <summary>Asks for one line of each page to come, where that helps.</summary>
    /// <param name="code">What is written to.</param>
    /// <param name="from">What is read now.</param>
    /// <param name="bytes">That are read before the next call.</param>
    /// <param name="scratch">A register that is overwritten.</param>
    public static void AskForPages(Assembler code, AssemblerRegister64 from, int bytes, AssemblerRegister64 scratch)
    {
        if (!s_isZen5) return;
        int pages = (bytes + Page / 2) / Page;
        for (int i = 0; i < pages; i++) code.prefetchnta(__[from + Page + bytes * i / pages]);
        if (pages > 0) return;
        Label skip = code.CreateLabel();
        code.lea(scratch, __[from + bytes]);
        code.xor(scratch, from);
        code.test(scratch, Page);
        code.je(skip);
        code.prefetchnta(__[from + Page]);
        code.Label(ref skip);
    }

    /// <summary>Asks for lines of codes; pages are asked for by <see cref="AskForPages"/>.</summary>
    /// <param name="code">What is written to.</param>
    /// <param name="from">What is read now.</param>
    /// <param name="bytes">That are read before the next call.</param>
    /// <param name="tokens">That the codes meet: while the processor computes on several, too few lines can be on their way to the first cache alone.</param>
    public static void AskForCodes(Assembler code, AssemblerRegister64 from, int bytes, int tokens)
    {
        for (int at = 0; at < bytes; at += CacheLines.Line)
            if (!s_isZen5)
            {
                code.prefetcht0(__[from + Ahead + at]);
                if (tokens > 1) code.prefetcht1(__[from + FarAhead + at]);
            }
            else if (tokens > SomeTokens) code.prefetcht0(__[from + Page + at]);
            else if (tokens > FewTokens) code.prefetcht1(__[from + FarAhead + at]);
    }

    /// <summary>Asks for floats, and for their pages where that helps.</summary>
    /// <param name="code">What is written to.</param>
    /// <param name="from">What is read now.</param>
    /// <param name="bytes">That are read before the next call.</param>
    /// <param name="tokens">That the floats meet.</param>
    /// <param name="scratch">A register that is overwritten.</param>
    public static void AskForFloats(Assembler code, AssemblerRegister64 from, int bytes, int tokens, AssemblerRegister64 scratch)
    {
        if (s_isZen5 && tokens <= FewTokens)
        {
            for (int at = 0; at < bytes; at += CacheLines.Line) code.prefetchnta(__[from + Page + at]);
            return;
        }
        AskForPages(code, from, bytes, scratch);
        AskForCodes(code, from, bytes, tokens);
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
