using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>The machine code of <see cref="WideProducts"/>.</summary>
/// <remarks>
/// Of the vector registers only such that both calling conventions let a callee change: zmm16 to 23 are the sums, zmm24 the rows.
/// </remarks>
internal static class WideProductsCode
{
    private const int Line = 64;

    private static readonly NineRows s_from = new(rax, r10, r11, rdx);

    // A callee gives rbx and rsi back.
    private static readonly AssemblerRegister64 s_apart = s_from.Stride, s_along = r8, s_rows = r9, s_steps = rcx, s_arguments = rbx, s_groups = rsi;
    private static readonly AssemblerRegisterZMM[] s_sums = [zmm16, zmm17, zmm18, zmm19, zmm20, zmm21, zmm22, zmm23];

    /// <param name="windows">Whether it is called as Windows calls functions, else as other systems do.</param>
    public static byte[] Assemble(bool windows)
    {
        var code = new Assembler(64);
        code.push(rbx);
        code.push(rsi);
        code.mov(s_arguments, windows ? rcx : rdi);
        code.mov(s_groups, Argument(nameof(WideProducts.Arguments.Groups)));
        code.mov(s_apart, Argument(nameof(WideProducts.Arguments.Apart)));
        code.mov(s_along, Argument(nameof(WideProducts.Arguments.Along)));
        Label group = code.CreateLabel(), step = code.CreateLabel();
        code.Label(ref group);
        BeginGroup(code);
        code.Label(ref step);
        code.vmovups(zmm24, __[s_rows]);
        for (int i = 0; i < s_sums.Length; i++) code.vfmadd231ps(s_sums[i], zmm24, s_from.Broadcast(i));
        code.add(s_rows, Line);
        foreach (AssemblerRegister64 from in (AssemblerRegister64[])[s_from.First, s_from.Fourth, s_from.Seventh]) code.add(from, s_along);
        code.dec(s_steps);
        code.jne(step);
        EndGroup(code);
        code.dec(s_groups);
        code.jne(group);
        code.vzeroupper();
        code.pop(rsi);
        code.pop(rbx);
        code.ret();
        return code.ToBytes();
    }

    private static void BeginGroup(Assembler code)
    {
        foreach (AssemblerRegisterZMM sum in s_sums) code.vpxord(sum, sum, sum);
        code.mov(s_from.First, Argument(nameof(WideProducts.Arguments.A)));
        code.mov(s_rows, Argument(nameof(WideProducts.Arguments.B)));
        code.mov(s_steps, Argument(nameof(WideProducts.Arguments.Count)));
        s_from.Enter(code, s_sums.Length);
    }

    /// <summary>Adds to the sums in memory, and goes on to the next numbers.</summary>
    private static void EndGroup(Assembler code)
    {
        code.mov(rax, Argument(nameof(WideProducts.Arguments.Sums)));
        for (int i = 0; i < s_sums.Length; i++)
        {
            code.vaddps(s_sums[i], s_sums[i], __[rax + i * Line]);
            code.vmovups(__[rax + i * Line], s_sums[i]);
        }
        code.add(rax, s_sums.Length * Line);
        code.mov(Argument(nameof(WideProducts.Arguments.Sums)), rax);
        code.mov(rax, Argument(nameof(WideProducts.Arguments.A)));
        code.lea(rax, __[rax + s_apart * s_sums.Length]);
        code.mov(Argument(nameof(WideProducts.Arguments.A)), rax);
    }

    private static AssemblerMemoryOperand Argument(string field) => __qword_ptr[s_arguments + (int)Marshal.OffsetOf<WideProducts.Arguments>(field)];
}
