using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>The machine code of <see cref="PairPanel"/>.</summary>
/// <remarks>
/// Only registers that both calling conventions let a callee change: zmm16 to 31 are the sums (2 t + half of the rows), zmm0
/// and 1 the weights, zmm2 and 3 the input.
/// </remarks>
internal static class PairPanelCode
{
    private const int Halves = PairPanel.Rows / 16, Vector = 64;

    private static readonly AssemblerRegisterZMM[] s_sums = [zmm16, zmm17, zmm18, zmm19, zmm20, zmm21, zmm22, zmm23, zmm24, zmm25, zmm26, zmm27, zmm28, zmm29, zmm30, zmm31];
    private static readonly AssemblerRegisterZMM[] s_weights = [zmm0, zmm1], s_input = [zmm2, zmm3];

    /// <param name="windows">Whether it is called as Windows calls functions, else as other systems do.</param>
    public static byte[] Assemble(bool windows)
    {
        var code = new Assembler(64);
        if (!windows) code.mov(rcx, rdi);
        code.mov(rax, __qword_ptr[rcx + Offset(nameof(PairPanel.Arguments.Weights))]);
        code.mov(rdx, __qword_ptr[rcx + Offset(nameof(PairPanel.Arguments.Inputs))]);
        code.mov(r8, __qword_ptr[rcx + Offset(nameof(PairPanel.Arguments.Sums))]);
        code.mov(r9, __qword_ptr[rcx + Offset(nameof(PairPanel.Arguments.Wanted))]);
        code.mov(rcx, __qword_ptr[rcx + Offset(nameof(PairPanel.Arguments.Count))]);
        Label few = code.CreateLabel();
        code.cmp(r9, PairPanel.Tokens / 2);
        code.jle(few);
        Multiply(code, PairPanel.Tokens);
        code.Label(ref few);
        Multiply(code, PairPanel.Tokens / 2);
        return code.ToBytes();
    }

    /// <summary>Meets the first so many tokens, and returns.</summary>
    private static void Multiply(Assembler code, int tokens)
    {
        for (int i = 0; i < tokens * Halves; i++) code.vmovups(s_sums[i], __[r8 + i * Vector]);
        Label pair = code.CreateLabel();
        code.Label(ref pair);
        for (int half = 0; half < Halves; half++) code.vmovups(s_weights[half], __[rax + half * Vector]);
        for (int token = 0; token < tokens; token++)
        {
            code.vpbroadcastd(s_input[token % 2], __dword_ptr[rdx + token * sizeof(uint)]);
            for (int half = 0; half < Halves; half++) code.vdpbf16ps(s_sums[token * Halves + half], s_weights[half], s_input[token % 2]);
        }
        code.add(rax, Halves * Vector);
        code.add(rdx, PairPanel.Tokens * sizeof(uint));
        code.dec(rcx);
        code.jne(pair);
        for (int i = 0; i < tokens * Halves; i++) code.vmovups(__[r8 + i * Vector], s_sums[i]);
        code.vzeroupper();
        code.ret();
    }

    private static int Offset(string field) => (int)Marshal.OffsetOf<PairPanel.Arguments>(field);
}
