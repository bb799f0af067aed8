using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>The machine code of <see cref="NumberPairs"/>.</summary>
internal static class NumberPairsCode
{
    private const int Vector = 64;

    // A callee gives rbx back. rcx brings the arguments and counts vectors then.
    private static readonly AssemblerRegister64 s_lower = rax, s_upper = rdx, s_step = r8, s_pairs = r9, s_rows = r10, s_arguments = r11, s_skip = rbx;
    private static readonly AssemblerRegisterZMM s_order = zmm0, s_low = zmm1, s_high = zmm2;

    /// <param name="halves">Whether F16 is read, else F32.</param>
    /// <param name="windows">Whether it is called as Windows calls functions, else as other systems do.</param>
    public static byte[] Assemble(bool halves, bool windows)
    {
        var code = new Assembler(64);
        code.push(s_skip);
        code.mov(s_arguments, windows ? rcx : rdi);
        code.mov(rax, Argument(nameof(NumberPairs.Arguments.Order)));
        code.vmovups(s_order, __zmmword_ptr[rax]);
        code.mov(s_lower, Argument(nameof(NumberPairs.Arguments.Lower)));
        code.mov(s_upper, Argument(nameof(NumberPairs.Arguments.Upper)));
        code.mov(s_step, Argument(nameof(NumberPairs.Arguments.Step)));
        code.mov(s_skip, Argument(nameof(NumberPairs.Arguments.Skip)));
        code.mov(s_pairs, Argument(nameof(NumberPairs.Arguments.Pairs)));
        code.mov(s_rows, Argument(nameof(NumberPairs.Arguments.Rows)));
        Label row = code.CreateLabel(), vector = code.CreateLabel();
        code.Label(ref row);
        code.mov(rcx, Argument(nameof(NumberPairs.Arguments.Vectors)));
        code.Label(ref vector);
        Load(s_low, s_lower);
        Load(s_high, s_upper);
        code.vcvtne2ps2bf16(s_low, s_high, s_low);
        code.vpermw(s_low, s_order, s_low);
        code.vmovups(__zmmword_ptr[s_pairs], s_low);
        code.add(s_lower, s_step);
        code.add(s_upper, s_step);
        code.add(s_pairs, Vector);
        code.dec(rcx);
        code.jne(vector);
        code.add(s_lower, s_skip);
        code.add(s_upper, s_skip);
        code.dec(s_rows);
        code.jne(row);
        code.vzeroupper();
        code.pop(s_skip);
        code.ret();
        return code.ToBytes();

        void Load(AssemblerRegisterZMM target, AssemblerRegister64 from)
        {
            if (halves) code.vcvtph2ps(target, __ymmword_ptr[from]);
            else code.vmovups(target, __zmmword_ptr[from]);
        }
    }

    private static AssemblerMemoryOperand Argument(string field) => __qword_ptr[s_arguments + (int)Marshal.OffsetOf<NumberPairs.Arguments>(field)];
}
