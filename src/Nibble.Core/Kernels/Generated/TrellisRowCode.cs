using System.Runtime.InteropServices;
using Iced.Intel;
using Nibble.Core.Formats;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>The machine code of <see cref="TrellisRow"/>.</summary>
/// <remarks>Only registers that both calling conventions let a callee change are used; tables are read from memory.</remarks>
internal sealed class TrellisRowCode
{
    private const int Line = 64;

    // rcx or rdi brings the arguments; rcx counts rings then.
    private static readonly AssemblerRegister64 s_rings = rax, s_x = rdx, s_scales = r8, s_arguments = r9, s_blocks = r10, s_constants = r11;
    private static readonly AssemblerRegister64 s_address = rcx;

    private static readonly AssemblerRegisterZMM s_ring = zmm0, s_low = zmm1, s_high = zmm2, s_number = zmm3, s_first = zmm4, s_second = zmm5, s_third = zmm16;
    private static readonly AssemblerRegisterZMM s_windows = zmm17, s_lowPlaces = zmm18, s_highPlaces = zmm19, s_counted = zmm20, s_minusOne = zmm21;
    private static readonly AssemblerRegisterZMM[] s_sums = [zmm22, zmm23, zmm24, zmm25, zmm26, zmm27, zmm28, zmm29];
    private static readonly AssemblerRegisterZMM s_centre = s_sums[0];
    private static readonly AssemblerRegisterK s_carry = k1, s_ringWords = k2;

    private readonly Assembler _ = new(64);
    private readonly int _bits, _tokens;
    private readonly bool _windows;

    private TrellisRowCode(int bits, int tokens, bool windows) => (_bits, _tokens, _windows) = (bits, tokens, windows);

    /// <param name="bits">1 to 4 a weight.</param>
    /// <param name="tokens">1 to <see cref="TrellisRow.MaxTokens"/>, or 0 for the numbers.</param>
    /// <param name="windows">Whether it is called as Windows calls functions, else as other systems do.</param>
    public static byte[] Assemble(int bits, int tokens, bool windows)
    {
        var code = new TrellisRowCode(bits, tokens, windows);
        code.Write();
        return code._.ToBytes();
    }

    private void Write()
    {
        Enter();
        Label block = _.CreateLabel(), ring = _.CreateLabel();
        _.Label(ref block);
        for (int token = 0; token < _tokens; token++) _.vpxord(s_sums[token], s_sums[token], s_sums[token]);
        _.mov(rcx, Argument(nameof(TrellisRow.Arguments.BlockRings)));
        _.Label(ref ring);
        ReadStates();
        LookUp();
        if (_tokens == 0) Store();
        for (int token = 0; token < _tokens; token++) AddProducts(token);
        _.add(s_rings, TrellisCode.Bytes(_bits));
        _.add(s_x, Math.Max(1, _tokens) * Line);
        _.add(s_scales, _tokens * 2 * sizeof(float));
        _.dec(rcx);
        _.jne(ring);
        EndBlock();
        _.dec(s_blocks);
        _.jne(block);
        _.vzeroupper();
        _.ret();
    }

    private void Enter()
    {
        _.mov(s_arguments, _windows ? rcx : rdi);
        _.mov(s_constants, Argument(nameof(TrellisRow.Arguments.Constants)));
        _.vmovups(s_windows, __[s_constants + TrellisRow.WindowsAt]);
        _.vmovups(s_lowPlaces, __[s_constants + TrellisRow.LowAt]);
        _.vmovups(s_highPlaces, __[s_constants + TrellisRow.HighAt]);
        Fill(s_counted, 0xFC);
        Fill(s_minusOne, 0xFF);
        if (_tokens == 0) Fill(s_centre, TrellisCode.Largest);
        _.mov(eax, (1 << (TrellisCode.Bytes(_bits) / 4)) - 1);
        _.kmovd(s_ringWords, eax);
        _.mov(s_rings, Argument(nameof(TrellisRow.Arguments.Rings)));
        _.mov(s_x, Argument(nameof(TrellisRow.Arguments.X)));
        _.mov(s_scales, Argument(nameof(TrellisRow.Arguments.Scales)));
        _.mov(s_blocks, Argument(nameof(TrellisRow.Arguments.Blocks)));

        void Fill(AssemblerRegisterZMM register, int value)
        {
            _.mov(eax, value * 0x01010101);
            _.vpbroadcastd(register, eax);
        }
    }

    /// <summary>Both halves of the states of a ring, each in the low 6 bits of a byte.</summary>
    private void ReadStates()
    {
        _.vmovups(s_ring.k2.z, __[s_rings]);
        _.vpermb(s_ring, s_windows, s_ring);
        _.vpmultishiftqb(s_low, s_lowPlaces, s_ring);
        _.vpmultishiftqb(s_high, s_highPlaces, s_ring);
    }

    /// <summary>The numbers, plus 126, to bytes of <see cref="s_number"/>.</summary>
    private void LookUp()
    {
        _.vpermb(s_number, s_low, Table(0));
        Add(s_first, 1, carries: false);
        Carry(s_first);
        _.vpandd(s_first, s_first, s_counted);
        _.vpavgb(s_number, s_number, s_first);
        Add(s_first, 2, carries: true);
        Carry(s_first);
        Add(s_third, 3, carries: true);
        _.vpandd(s_first, s_first, s_counted);
        _.vpandd(s_third, s_third, s_counted);
        _.vpavgb(s_first, s_first, s_third);
        _.vpavgb(s_number, s_number, s_first);
    }

    /// <summary>8 bits of the sum of both halves' entries. No entry of the upper half has all bits set, so a carry makes none of its own.</summary>
    private void Add(AssemblerRegisterZMM target, int part, bool carries)
    {
        _.vpermb(target, s_low, Table(part));
        _.vpermb(s_second, s_high, Table(part + 3));
        if (carries) _.vpsubb(s_second.k1, s_second, s_minusOne);
        _.vpaddb(target, target, s_second);
    }

    /// <summary>Which sums, of something and <see cref="s_second"/>, are above 8 bits: those that are less than a summand.</summary>
    private void Carry(AssemblerRegisterZMM sum) => _.vpcmpub(s_carry, sum, s_second, 1);

    private void Store()
    {
        _.vpsubb(s_number, s_number, s_centre);
        _.vmovups(__[s_x], s_number);
    }

    private void AddProducts(int token)
    {
        AssemblerRegisterZMM dot = s_second, scale = s_first;
        _.vpxord(dot, dot, dot);
        _.vpdpbusd(dot, s_number, __[s_x + token * Line]);
        _.vcvtdq2ps(dot, dot);
        _.vbroadcastsd(scale, __qword_ptr[s_scales + token * 2 * sizeof(float)]);
        _.vfmadd231ps(s_sums[token], dot, scale);
    }

    private void EndBlock()
    {
        _.mov(s_address, Argument(nameof(TrellisRow.Arguments.BlockScales)));
        _.vbroadcastss(s_first, __dword_ptr[s_address]);
        _.add(s_address, sizeof(float));
        _.mov(Argument(nameof(TrellisRow.Arguments.BlockScales)), s_address);
        _.add(s_rings, Argument(nameof(TrellisRow.Arguments.Gap)));
        _.mov(s_address, Argument(nameof(TrellisRow.Arguments.Sums)));
        for (int token = 0; token < _tokens; token++)
        {
            _.vmovups(s_second, __[s_address + token * Line]);
            _.vfmadd231ps(s_second, s_sums[token], s_first);
            _.vmovups(__[s_address + token * Line], s_second);
        }
    }

    private static AssemblerMemoryOperand Table(int table) => __[s_constants + (TrellisRow.TablesAt + table * Line)];

    private static AssemblerMemoryOperand Argument(string field) => __qword_ptr[s_arguments + (int)Marshal.OffsetOf<TrellisRow.Arguments>(field)];
}
