using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>The machine code of <see cref="WideLevels"/>.</summary>
/// <remarks>
/// Only registers that both calling conventions let a callee change are used: of the vector registers that leaves zmm0 to 5
/// and 16 to 31.
/// </remarks>
internal sealed unsafe class WideLevelsCode
{
    private const int Line = 64, TileRows = LevelMatrix.TileRows;

    // rcx or rdi brings the arguments; rcx counts stretches then.
    private static readonly AssemblerRegister64 s_codes = rax, s_scales = rdx, s_numbers = r8, s_tables = r9, s_inputs = r10, s_table = r11;

    private static readonly AssemblerRegisterZMM[] s_sum = [zmm16, zmm17, zmm18, zmm19];
    private static readonly AssemblerRegisterZMM s_x = zmm20, s_start = zmm21, s_scale = zmm22, s_offset = zmm23;
    private static readonly AssemblerRegisterZMM s_zero = zmm24, s_radix = zmm25, s_minusWhole = zmm26;
    private static readonly AssemblerRegisterZMM s_rowCodes = zmm0, s_signed = zmm1, s_upper = zmm2, s_lower = zmm3, s_half = zmm4, s_dot = zmm5;

    private readonly Assembler _ = new(64);
    private readonly bool _small, _windows;

    private WideLevelsCode(bool small, bool windows) => (_small, _windows) = (small, windows);

    /// <param name="small">Whether codes are half a byte.</param>
    /// <param name="windows">Whether it is called as Windows calls functions, else as other systems do.</param>
    public static byte[] Assemble(bool small, bool windows)
    {
        var code = new WideLevelsCode(small, windows);
        code.Write();
        return code._.ToBytes();
    }

    private int TileBytes => TileRows * LevelMatrix.Stretch / (_small ? 2 : 1);

    private void Write()
    {
        Enter();
        Label stretch = _.CreateLabel();
        _.Label(ref stretch);
        StreamRequests.AskForPages(_, s_codes, TileBytes, s_table);
        StreamRequests.AskForCodes(_, s_codes, TileBytes, tokens: 1);
        LoadInput();
        for (int row = 0; row < TileRows; row++)
        {
            LoadCodes(row);
            LookUp(row);
            AddToSum(row);
        }
        _.add(s_codes, TileBytes);
        _.add(s_scales, TileRows * sizeof(float));
        _.add(s_numbers, TileRows);
        _.add(s_inputs, sizeof(LevelInput));
        _.dec(rcx);
        _.jne(stretch);
        _.pop(rcx);
        _.mov(rax, __qword_ptr[rcx + Offset(nameof(WideLevels.Arguments.Sums))]);
        for (int row = 0; row < TileRows; row++) _.vmovups(__[rax + row * Line], s_sum[row]);
        _.vzeroupper();
        _.ret();
    }

    /// <summary>Loads the arguments and the constants; the arguments' address goes to the stack.</summary>
    private void Enter()
    {
        if (!_windows) _.mov(rcx, rdi);
        _.push(rcx);
        Fill(s_radix, 64 << 16 | 64);
        Fill(s_minusWhole, BitConverter.SingleToInt32Bits(-BitConverter.Int32BitsToSingle(LevelInput.Whole)));
        foreach (AssemblerRegisterZMM register in (AssemblerRegisterZMM[])[s_zero, .. s_sum]) _.vpxord(register, register, register);
        _.mov(s_codes, __qword_ptr[rcx + Offset(nameof(WideLevels.Arguments.Codes))]);
        _.mov(s_scales, __qword_ptr[rcx + Offset(nameof(WideLevels.Arguments.Scales))]);
        _.mov(s_numbers, __qword_ptr[rcx + Offset(nameof(WideLevels.Arguments.Numbers))]);
        _.mov(s_tables, __qword_ptr[rcx + Offset(nameof(WideLevels.Arguments.Tables))]);
        _.mov(s_inputs, __qword_ptr[rcx + Offset(nameof(WideLevels.Arguments.Inputs))]);
        _.mov(rcx, __qword_ptr[rcx + Offset(nameof(WideLevels.Arguments.Stretches))]);

        void Fill(AssemblerRegisterZMM register, int value)
        {
            _.mov(eax, value);
            _.vpbroadcastd(register, eax);
        }
    }

    private void LoadInput()
    {
        LevelInput input;
        _.vmovups(s_x, __[s_inputs + (int)((byte*)input.Codes - (byte*)&input)]);
        _.vmovups(s_start, __[s_inputs + (int)((byte*)input.Start - (byte*)&input)]);
        _.vbroadcastf64x4(s_scale, __ymmword_ptr[s_inputs + (int)((byte*)input.Scale - (byte*)&input)]);
        _.vmulps(s_offset, s_scale, s_minusWhole);
    }

    /// <summary>A row's codes, and the inputs with their signs where these stand in the codes.</summary>
    private void LoadCodes(int row)
    {
        if (_small)
        {
            if (row % 2 == 0) _.vmovups(s_rowCodes, __[s_codes + row / 2 * Line]);
            else _.vpsrlw(s_rowCodes, s_rowCodes, 4);
            return;
        }
        _.vmovups(s_rowCodes, __[s_codes + row * Line]);
        _.vpmovb2m(k1, s_rowCodes);
        _.vmovups(s_signed, s_x);
        _.vpsubb(s_signed.k1, s_zero, s_x);
    }

    /// <summary>Both digits of a row's codes. vpermb minds the low 6 bits of a byte only, vpermi2b the low 7; tables of 16 stand four times in the 64 bytes.</summary>
    private void LookUp(int row)
    {
        int digitBytes = _small ? 64 : 128;
        _.movzx(r11d, __byte_ptr[s_numbers + row]);
        _.shl(r11d, (byte)int.Log2(2 * digitBytes));
        for (int digit = 0; digit < 2; digit++)
        {
            AssemblerRegisterZMM target = digit == 0 ? s_upper : s_lower;
            if (_small)
            {
                _.vpermb(target, s_rowCodes, __[s_tables + s_table + digit * digitBytes]);
                continue;
            }
            _.vmovups(target, s_rowCodes);
            _.vmovups(s_half, __[s_tables + s_table + digit * digitBytes]);
            _.vpermi2b(target, s_half, __[s_tables + s_table + (digit * digitBytes + Line)]);
        }
    }

    /// <summary>sum += scale (xScale (64 upper x + lower x - bias)).</summary>
    private void AddToSum(int row)
    {
        AssemblerRegisterZMM x = _small ? s_x : s_signed;
        _.vmovups(s_dot, s_start);
        _.vpmaddubsw(s_upper, s_upper, x);
        _.vpdpwssd(s_dot, s_upper, s_radix);
        _.vpdpbusd(s_dot, s_lower, x);
        _.vfmadd213ps(s_dot, s_scale, s_offset);
        _.vfmadd231ps(s_sum[row], s_dot, __dword_bcst[s_scales + row * sizeof(float)]);
    }

    private static int Offset(string field) => (int)Marshal.OffsetOf<WideLevels.Arguments>(field);
}
