using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>The machine code of <see cref="LevelTile"/>.</summary>
/// <remarks>Only registers that both calling conventions let a callee change are used.</remarks>
internal sealed class LevelTileCode
{
    private const int Line = 64, Chunk = Activation.Chunk, NumbersBytes = InputNumbers.Kinds * sizeof(float);

    // rcx or rdi brings the arguments; rcx counts stretches then.
    private static readonly AssemblerRegister64 s_tile = rax, s_x = rdx, s_inputs = r8, s_sums = r9;

    private static readonly AssemblerRegisterZMM s_upperTable = zmm16, s_lowerTable = zmm17, s_sum = zmm18, s_scaled = zmm19;

    // Of the two chunks of a stretch.
    private static readonly AssemblerRegisterZMM[] s_codes = [zmm0, zmm1], s_input = [zmm2, zmm3];
    private static readonly AssemblerRegisterZMM[] s_upper = [zmm20, zmm21], s_lower = [zmm22, zmm23], s_upperDot = [zmm24, zmm25], s_dot = [zmm26, zmm27];

    private readonly Assembler _ = new(64);
    private readonly int _scaleBytes;
    private readonly bool _windows;

    private LevelTileCode(int scaleBytes, bool windows) => (_scaleBytes, _windows) = (scaleBytes, windows);

    /// <param name="scaleBytes">2 or 4.</param>
    /// <param name="windows">Whether it is called as Windows calls functions, else as other systems do.</param>
    public static byte[] Assemble(int scaleBytes, bool windows)
    {
        var code = new LevelTileCode(scaleBytes, windows);
        code.Write();
        return code._.ToBytes();
    }

    private void Write()
    {
        Enter();
        int bytes = LevelTiles.BytesOfStretch(_scaleBytes);
        Label stretch = _.CreateLabel();
        _.Label(ref stretch);
        StreamRequests.AskForPages(_, s_tile, bytes, r10);
        StreamRequests.AskForCodes(_, s_tile, bytes, tokens: 1);
        SumDigits();
        AddToSum();
        _.add(s_tile, bytes);
        _.add(s_x, 2 * Chunk);
        _.add(s_inputs, 2 * NumbersBytes);
        _.dec(rcx);
        _.jne(stretch);
        _.vmovups(__[s_sums], s_sum);
        _.vzeroupper();
        _.ret();
    }

    private void Enter()
    {
        if (!_windows) _.mov(rcx, rdi);
        _.mov(rax, __qword_ptr[rcx + Offset(nameof(LevelTile.Arguments.Table))]);
        _.vmovups(s_upperTable, __[rax]);
        _.vmovups(s_lowerTable, __[rax + Line]);
        _.vpxord(s_sum, s_sum, s_sum);
        _.mov(s_tile, __qword_ptr[rcx + Offset(nameof(LevelTile.Arguments.Tile))]);
        _.mov(s_x, __qword_ptr[rcx + Offset(nameof(LevelTile.Arguments.X))]);
        _.mov(s_inputs, __qword_ptr[rcx + Offset(nameof(LevelTile.Arguments.Inputs))]);
        _.mov(s_sums, __qword_ptr[rcx + Offset(nameof(LevelTile.Arguments.Sums))]);
        _.mov(rcx, __qword_ptr[rcx + Offset(nameof(LevelTile.Arguments.Stretches))]);
    }

    /// <summary>The dot products of both digits of both chunks. A table's 16 entries stand in it four times, so nothing need be masked.</summary>
    private void SumDigits()
    {
        for (int c = 0; c < 2; c++)
        {
            _.vpbroadcastd(s_dot[c], __dword_ptr[s_inputs + c * NumbersBytes + sizeof(float)]);
            _.vpxord(s_upperDot[c], s_upperDot[c], s_upperDot[c]);
        }
        for (int step = 0; step < 8; step++)
        {
            _.vmovups(s_codes[0], __[s_tile + PackedMatrix.TileRows * _scaleBytes + step * Line]);
            _.vpsrlw(s_codes[1], s_codes[0], 4);
            for (int c = 0; c < 2; c++)
            {
                _.vpbroadcastd(s_input[c], __dword_ptr[s_x + c * Chunk + step * 4]);
                _.vpermb(s_lower[c], s_codes[c], s_lowerTable);
                _.vpdpbusd(s_dot[c], s_lower[c], s_input[c]);
                _.vpermb(s_upper[c], s_codes[c], s_upperTable);
                _.vpdpbusd(s_upperDot[c], s_upper[c], s_input[c]);
            }
        }
    }

    /// <summary>sum += scale (xScale dot + xScale' dot'), where dot is 64 upper + lower.</summary>
    private void AddToSum()
    {
        for (int c = 0; c < 2; c++)
        {
            _.vpslld(s_upperDot[c], s_upperDot[c], 6);
            _.vpaddd(s_dot[c], s_dot[c], s_upperDot[c]);
            _.vcvtdq2ps(s_dot[c], s_dot[c]);
        }
        _.vmulps(s_scaled, s_dot[0], __dword_bcst[s_inputs]);
        _.vfmadd231ps(s_scaled, s_dot[1], __dword_bcst[s_inputs + NumbersBytes]);
        if (_scaleBytes == 2)
        {
            _.vcvtph2ps(s_dot[0], __ymmword_ptr[s_tile]);
            _.vfmadd231ps(s_sum, s_scaled, s_dot[0]);
        }
        else _.vfmadd231ps(s_sum, s_scaled, __[s_tile]);
    }

    private static int Offset(string field) => (int)Marshal.OffsetOf<LevelTile.Arguments>(field);
}
