using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>The machine code of <see cref="WideProducts"/>.</summary>
/// <remarks>Of the vector registers only such that both calling conventions let a callee change: from zmm16 on the sums, zmm0 to 2.</remarks>
internal static class WideProductsCode
{
    private const int Line = 64;

    private static readonly NineRows s_from = new(rax, r10, r11, rdx);

    // A callee gives rbx, rsi and rdi back.
    private static readonly AssemblerRegister64 s_apart = s_from.Stride, s_along = r8, s_rows = r9, s_steps = rcx, s_arguments = rbx, s_groups = rsi, s_beside = rdi;
    private static readonly AssemblerRegister64[] s_kept = [rbx, rsi, rdi];
    private static readonly AssemblerRegisterZMM[] s_lines = [zmm0, zmm1];
    private static readonly AssemblerRegisterZMM s_number = zmm2;

    /// <param name="lines">Of rows, side by side: 1 or 2.</param>
    /// <param name="pairs">Whether numbers are pairs of bfloat16.</param>
    /// <param name="windows">Whether it is called as Windows calls functions, else as other systems do.</param>
    public static byte[] Assemble(int lines, bool pairs, bool windows)
    {
        var code = new Assembler(64);
        foreach (AssemblerRegister64 kept in s_kept) code.push(kept);
        code.mov(s_arguments, windows ? rcx : rdi);
        code.mov(s_groups, Argument(nameof(WideProducts.Arguments.Groups)));
        code.mov(s_apart, Argument(nameof(WideProducts.Arguments.Apart)));
        code.mov(s_along, Argument(nameof(WideProducts.Arguments.Along)));
        Label group = code.CreateLabel(), step = code.CreateLabel();
        code.Label(ref group);
        BeginGroup(code, lines);
        code.Label(ref step);
        Multiply(code, lines, pairs);
        code.add(s_rows, Line);
        foreach (AssemblerRegister64 from in (AssemblerRegister64[])[s_from.First, s_from.Fourth, s_from.Seventh]) code.add(from, s_along);
        code.dec(s_steps);
        code.jne(step);
        EndGroup(code, lines);
        code.dec(s_groups);
        code.jne(group);
        code.vzeroupper();
        foreach (AssemblerRegister64 kept in s_kept.Reverse()) code.pop(kept);
        code.ret();
        return code.ToBytes();
    }

    private static AssemblerRegisterZMM Sum(int line, int number) => VectorRegisters.Number(16 + line * WideProducts.Numbers + number);

    private static void BeginGroup(Assembler code, int lines)
    {
        for (int line = 0; line < lines; line++)
            for (int i = 0; i < WideProducts.Numbers; i++) code.vpxord(Sum(line, i), Sum(line, i), Sum(line, i));
        code.mov(s_from.First, Argument(nameof(WideProducts.Arguments.A)));
        code.mov(s_rows, Argument(nameof(WideProducts.Arguments.B)));
        if (lines > 1) code.mov(s_beside, Argument(nameof(WideProducts.Arguments.BApart)));
        code.mov(s_steps, Argument(nameof(WideProducts.Arguments.Count)));
        s_from.Enter(code, WideProducts.Numbers);
    }

    private static void Multiply(Assembler code, int lines, bool pairs)
    {
        for (int line = 0; line < lines; line++) code.vmovups(s_lines[line], __[line == 0 ? s_rows + 0 : s_rows + s_beside]);
        for (int i = 0; i < WideProducts.Numbers; i++)
        {
            if (lines == 1)
            {
                if (pairs) code.vdpbf16ps(Sum(0, i), s_lines[0], s_from.Broadcast(i));
                else code.vfmadd231ps(Sum(0, i), s_lines[0], s_from.Broadcast(i));
                continue;
            }
            code.vbroadcastss(s_number, __dword_ptr[s_from.At(i)]);
            for (int line = 0; line < lines; line++)
                if (pairs) code.vdpbf16ps(Sum(line, i), s_lines[line], s_number);
                else code.vfmadd231ps(Sum(line, i), s_lines[line], s_number);
        }
    }

    /// <summary>Adds to the sums in memory, and goes on to the next numbers.</summary>
    private static void EndGroup(Assembler code, int lines)
    {
        code.mov(rax, Argument(nameof(WideProducts.Arguments.Sums)));
        if (lines > 1) code.mov(s_beside, Argument(nameof(WideProducts.Arguments.SumsApart)));
        for (int line = 0; line < lines; line++)
            for (int i = 0; i < WideProducts.Numbers; i++)
            {
                AssemblerMemoryOperand sum = __[line == 0 ? rax + i * Line : rax + s_beside + i * Line];
                code.vaddps(Sum(line, i), Sum(line, i), sum);
                code.vmovups(sum, Sum(line, i));
            }
        code.add(rax, WideProducts.Numbers * Line);
        code.mov(Argument(nameof(WideProducts.Arguments.Sums)), rax);
        code.mov(rax, Argument(nameof(WideProducts.Arguments.A)));
        code.lea(rax, __[rax + s_apart * WideProducts.Numbers]);
        code.mov(Argument(nameof(WideProducts.Arguments.A)), rax);
    }

    private static AssemblerMemoryOperand Argument(string field) => __qword_ptr[s_arguments + (int)Marshal.OffsetOf<WideProducts.Arguments>(field)];
}
