using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>The machine code of <see cref="WideVector"/>.</summary>
/// <remarks>
/// Only registers that both calling conventions let a callee change are used: of the vector registers that leaves zmm0 to 5
/// and 16 to 31. 32-bit lane r of a step's register is row r, byte k of it column 4 * step + k.
/// </remarks>
internal sealed class WideVectorCode
{
    private const int Line = 64;

    // vpternlogd's truth table of a or (b and c).
    private const byte OrMasked = 0xF8;

    // rcx or rdi brings the arguments; rcx counts chunks then, s_left those of the stretch.
    private static readonly AssemblerRegister64 s_tile = rax, s_x = rdx, s_inputs = r8, s_sums = r9, s_left = r10, s_units = r11;

    private static readonly AssemblerRegisterZMM s_dot = zmm0, s_total = zmm1, s_sum = zmm2, s_offsetSum = zmm3, s_codes = zmm4, s_number = zmm5;
    private static readonly AssemblerRegisterZMM s_scale = zmm16, s_high = zmm17, s_lowMask = zmm18, s_highMask = zmm19, s_table = zmm20;

    // What a chunk's codes are made of, each loaded once.
    private static readonly AssemblerRegisterZMM[] s_low = [zmm24, zmm25, zmm26, zmm27], s_plane = [zmm28, zmm29];

    private readonly Assembler _ = new(64);
    private readonly PackedShape _shape;
    private readonly bool _windows;

    private WideVectorCode(PackedShape shape, bool windows) => (_shape, _windows) = (shape, windows);

    /// <param name="windows">Whether it is called as Windows calls functions, else as other systems do.</param>
    public static byte[] Assemble(PackedShape shape, bool windows)
    {
        var code = new WideVectorCode(shape, windows);
        code.Write();
        return code._.ToBytes();
    }

    /// <summary>Bits a code in the lower of its two pieces, or all of them.</summary>
    private int LowBits => _shape.CodeBits switch { 2 or 3 => 2, 8 => 8, _ => 4 };

    /// <summary>True if offsets have sums of their own.</summary>
    private bool SumsOffsets => _shape is { HasOffsets: true, HasZeroPoints: false };

    /// <summary>Bits a code in the upper piece.</summary>
    private int HighBits => _shape.CodeBits - LowBits;

    private void Write()
    {
        Enter();
        Label stretch = _.CreateLabel(), chunk = _.CreateLabel();
        _.Label(ref stretch);
        BeginStretch();
        _.Label(ref chunk);
        for (int at = 0; at < _shape.ChunkBytes; at += Line) _.prefetcht0(__[s_tile + PackedKernel.Ahead + at]);
        LoadCodes();
        for (int part = 0; part < _shape.Parts; part++)
        {
            SumProducts(part);
            AddToSums(part);
        }
        _.add(s_tile, _shape.ChunkBytes);
        _.add(s_x, Activation.Chunk);
        _.add(s_inputs, _shape.Parts * InputNumbers.Kinds * sizeof(float));
        _.dec(s_left);
        _.jne(chunk);
        EndStretch();
        _.cmp(rcx, 0);
        _.jne(stretch);
        _.vmovups(__[s_sums], s_total);
        _.vzeroupper();
        _.ret();
    }

    private void Enter()
    {
        if (!_windows) _.mov(rcx, rdi);
        FillMasks();
        if (_shape.IsTable)
        {
            _.mov(rax, __qword_ptr[rcx + Offset(nameof(WideVector.Arguments.Table))]);
            _.vbroadcasti32x4(s_table, __xmmword_ptr[rax]);
        }
        _.mov(s_tile, __qword_ptr[rcx + Offset(nameof(WideVector.Arguments.Tile))]);
        _.mov(s_x, __qword_ptr[rcx + Offset(nameof(WideVector.Arguments.X))]);
        _.mov(s_inputs, __qword_ptr[rcx + Offset(nameof(WideVector.Arguments.Inputs))]);
        _.mov(s_sums, __qword_ptr[rcx + Offset(nameof(WideVector.Arguments.Sums))]);
        _.mov(rcx, __qword_ptr[rcx + Offset(nameof(WideVector.Arguments.Chunks))]);
        Clear(s_total);
    }

    private void FillMasks()
    {
        if (LowBits < 8) Fill(s_lowMask, (1 << LowBits) - 1);
        if (HighBits > 0) Fill(s_highMask, ((1 << HighBits) - 1) << LowBits);

        void Fill(AssemblerRegisterZMM mask, int value)
        {
            _.mov(eax, value * 0x01010101);
            _.vpbroadcastd(mask, eax);
        }
    }

    private void BeginStretch()
    {
        _.mov(r10d, PackedKernel.StretchChunks);
        _.cmp(rcx, s_left);
        _.cmovl(s_left, rcx);
        _.sub(rcx, s_left);
        if (_shape.HasUnits)
        {
            _.mov(s_units, s_tile);
            _.add(s_tile, _shape.UnitsBytes);
        }
        Clear(s_sum);
        if (SumsOffsets) Clear(s_offsetSum);
    }

    private void EndStretch()
    {
        if (_shape.HasUnits) _.vmulps(s_sum, s_sum, __[s_units]);
        if (_shape.HasUnits && SumsOffsets) _.vmulps(s_offsetSum, s_offsetSum, __[s_units + 64]);
        if (SumsOffsets) _.vaddps(s_sum, s_sum, s_offsetSum);
        _.vaddps(s_total, s_total, s_sum);
    }

    /// <summary>Loads the pieces that several steps share.</summary>
    private void LoadCodes()
    {
        if (LowBits == 8) return;
        for (int i = 0; i < LowBits; i++) _.vmovups(s_low[i], __[s_tile + _shape.CodesAt + i * 64]);
        for (int i = 0; i < HighBits; i++) _.vmovups(s_plane[i], __[s_tile + _shape.CodesAt + (LowBits + i) * 64]);
    }

    private void SumProducts(int part)
    {
        Clear(s_dot);
        int steps = 8 / _shape.Parts;
        for (int step = part * steps; step < (part + 1) * steps; step++)
        {
            Unpack(step);
            _.vpdpbusd(s_dot, s_codes, __dword_bcst[s_x + step * 4]);
        }
    }

    /// <summary>The codes of a step, a byte each, to <see cref="s_codes"/>: as the step of the layout in <see cref="ICodeLayout"/>.</summary>
    private void Unpack(int step)
    {
        if (LowBits == 8)
        {
            _.vmovups(s_codes, __[s_tile + _shape.CodesAt + step * 64]);
            return;
        }
        (AssemblerRegisterZMM low, int from) = LowBits == 4 ? (s_low[step & 3], step < 4 ? 0 : 4) : (s_low[step >> 2], 2 * (step & 3));
        Shift(s_codes, low, from);
        _.vpandd(s_codes, from == 0 ? low : s_codes, s_lowMask);
        if (HighBits > 0)
        {
            // One plane of 8 single bits, or two of 4 times two bits.
            (AssemblerRegisterZMM plane, int at) = HighBits == 1 ? (s_plane[0], step) : (s_plane[step >> 2], 2 * (step & 3));
            Shift(s_high, plane, at - LowBits);
            _.vpternlogd(s_codes, at == LowBits ? plane : s_high, s_highMask, OrMasked);
        }
        if (_shape.IsTable) _.vpshufb(s_codes, s_table, s_codes);
    }

    /// <summary>Shifts down, or up where the number is negative. Lanes have 16 bits: what crosses a byte is masked away by the caller.</summary>
    private void Shift(AssemblerRegisterZMM target, AssemblerRegisterZMM source, int down)
    {
        if (down > 0) _.vpsrlw(target, source, (byte)down);
        else if (down < 0) _.vpsllw(target, source, (byte)-down);
    }

    /// <summary>sum += scale (xScale dot + bias), and offset times the input's sum; zero points are multiplied by the scale with the rest.</summary>
    private void AddToSums(int part)
    {
        AssemblerMemoryOperand Input(int kind) => __dword_bcst[s_inputs + (part * InputNumbers.Kinds + kind) * sizeof(float)];
        _.vbroadcastss(s_scale, __dword_ptr[s_inputs + part * InputNumbers.Kinds * sizeof(float)]);
        _.vcvtdq2ps(s_dot, s_dot);
        _.vfmadd213ps(s_dot, s_scale, Input(1));
        if (_shape.HasZeroPoints)
        {
            LoadNumber(s_number, _shape.NumbersBytes + part * PackedMatrix.TileRows, 1);
            _.vmulps(s_number, s_number, Input(2));
            _.vsubps(s_dot, s_dot, s_number);
        }
        LoadNumber(s_number, part * PackedMatrix.TileRows * _shape.NumberBytes, _shape.NumberBytes);
        _.vfmadd231ps(s_sum, s_dot, s_number);
        if (!SumsOffsets) return;
        LoadNumber(s_number, _shape.NumbersBytes + part * PackedMatrix.TileRows * _shape.NumberBytes, _shape.NumberBytes);
        _.vfmadd231ps(s_offsetSum, s_number, Input(2));
    }

    /// <summary>16 scales, offsets or zero points of so many bytes as floats.</summary>
    private void LoadNumber(AssemblerRegisterZMM target, int at, int bytes)
    {
        switch (bytes)
        {
            case 4: _.vmovups(target, __[s_tile + at]); break;
            case 2: _.vcvtph2ps(target, __ymmword_ptr[s_tile + at]); break;
            default:
                _.vpmovsxbd(target, __xmmword_ptr[s_tile + at]);
                _.vcvtdq2ps(target, target);
                break;
        }
    }

    private void Clear(AssemblerRegisterZMM register) => _.vpxord(register, register, register);

    private static int Offset(string field) => (int)Marshal.OffsetOf<WideVector.Arguments>(field);
}
