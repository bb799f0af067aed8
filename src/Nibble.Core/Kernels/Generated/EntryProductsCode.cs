using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>The machine code of <see cref="EntryProducts"/>.</summary>
/// <remarks>Only registers that both calling conventions let a callee change are used.</remarks>
internal sealed class EntryProductsCode
{
    private const int Line = 64, Groups = 4, Registers = 4;

    // rcx or rdi brings the arguments; rcx counts places then.
    private static readonly AssemblerRegister64 s_numbers = rax, s_x = rdx, s_xStride = r8, s_table = r9, s_tableStride = r10;

    private static readonly AssemblerRegisterZMM s_start = zmm0, s_lowerBytes = zmm1;
    private static readonly AssemblerRegisterZMM[] s_input = [zmm2, zmm3, zmm4, zmm5];

    // Groups of entries take turns, so that one need not wait for the other.
    private static readonly AssemblerRegisterZMM[][] s_sums = [[zmm16, zmm17, zmm18, zmm19], [zmm20, zmm21, zmm22, zmm23]];

    private readonly Assembler _ = new(64);
    private readonly int _pairs;
    private readonly bool _windows;

    private EntryProductsCode(int dimension, bool windows) => (_pairs, _windows) = (dimension / 2, windows);

    /// <param name="dimension">2, 4 or 8.</param>
    /// <param name="windows">Whether it is called as Windows calls functions, else as other systems do.</param>
    public static byte[] Assemble(int dimension, bool windows)
    {
        var code = new EntryProductsCode(dimension, windows);
        code.Write();
        return code._.ToBytes();
    }

    private void Write()
    {
        Enter();
        Label place = _.CreateLabel();
        _.Label(ref place);
        for (int pair = 0; pair < _pairs; pair++) _.vpbroadcastd(s_input[pair], __dword_ptr[s_x + pair * 2 * sizeof(short)]);
        for (int group = 0; group < Groups; group++)
        {
            SumProducts(group, s_sums[group % 2]);
            Split(group, s_sums[group % 2]);
        }
        _.add(s_x, s_xStride);
        _.add(s_table, s_tableStride);
        _.dec(rcx);
        _.jne(place);
        _.vzeroupper();
        _.ret();
    }

    private void Enter()
    {
        if (!_windows) _.mov(rcx, rdi);
        _.mov(eax, PartialProducts.Start);
        _.vpbroadcastd(s_start, eax);
        _.mov(eax, 0x00FF00FF);
        _.vpbroadcastd(s_lowerBytes, eax);
        _.mov(s_numbers, Argument(nameof(EntryProducts.Arguments.Numbers)));
        _.mov(s_x, Argument(nameof(EntryProducts.Arguments.X)));
        _.mov(s_xStride, Argument(nameof(EntryProducts.Arguments.XStride)));
        _.mov(s_table, Argument(nameof(EntryProducts.Arguments.Table)));
        _.mov(s_tableStride, Argument(nameof(EntryProducts.Arguments.TableStride)));
        _.mov(rcx, Argument(nameof(EntryProducts.Arguments.Places)));
    }

    private void SumProducts(int group, AssemblerRegisterZMM[] sums)
    {
        foreach (AssemblerRegisterZMM sum in sums) _.vmovups(sum, s_start);
        for (int pair = 0; pair < _pairs; pair++)
            for (int i = 0; i < Registers; i++)
                _.vpdpwssd(sums[i], s_input[pair], __[s_numbers + ((group * _pairs + pair) * Registers + i) * Line]);
    }

    /// <summary>The upper 16 bits of the sums, which are not negative: lower bytes and upper bytes apart.</summary>
    private void Split(int group, AssemblerRegisterZMM[] sums)
    {
        foreach (AssemblerRegisterZMM sum in sums) _.vpsrld(sum, sum, PartialProducts.Shift);
        (AssemblerRegisterZMM first, AssemblerRegisterZMM second, AssemblerRegisterZMM lower, AssemblerRegisterZMM other) = (sums[0], sums[2], sums[1], sums[3]);
        _.vpackusdw(first, sums[0], sums[1]);
        _.vpackusdw(second, sums[2], sums[3]);
        _.vpandd(lower, first, s_lowerBytes);
        _.vpandd(other, second, s_lowerBytes);
        _.vpackuswb(lower, lower, other);
        _.vmovups(__[s_table + group * Line], lower);
        _.vpsrlw(first, first, 8);
        _.vpsrlw(second, second, 8);
        _.vpackuswb(first, first, second);
        _.vmovups(__[s_table + PartialProducts.Entries + group * Line], first);
    }

    private static AssemblerMemoryOperand Argument(string field) => __qword_ptr[rcx + (int)Marshal.OffsetOf<EntryProducts.Arguments>(field)];
}
