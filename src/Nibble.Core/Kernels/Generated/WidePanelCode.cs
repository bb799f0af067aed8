using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>The machine code of <see cref="WidePanel"/>.</summary>
/// <remarks>
/// Registers: zmm0 to 11 sum integers (2 t + tile), zmm12 to 23 are the floats of y, zmm24 and 25 hold the codes of both
/// tiles, then their scales, zmm26 to 29 the input. Only general registers that both calling conventions let a callee
/// change are used; of the vector registers Windows wants 6 to 15 back.
/// </remarks>
internal sealed class WidePanelCode
{
    private const int Tokens = WidePanel.Tokens, Tiles = WidePanel.Tiles, StepBytes = 64, ChunkBytes = 512;
    private const int FirstSaved = 6, Saved = 10, SavedBytes = 16;

    private static readonly AssemblerRegisterZMM[] s_zmm =
    [
        zmm0, zmm1, zmm2, zmm3, zmm4, zmm5, zmm6, zmm7, zmm8, zmm9, zmm10, zmm11, zmm12, zmm13, zmm14, zmm15, zmm16, zmm17, zmm18,
        zmm19, zmm20, zmm21, zmm22, zmm23, zmm24, zmm25, zmm26, zmm27, zmm28, zmm29, zmm30, zmm31,
    ];

    private static readonly AssemblerRegisterXMM[] s_saved = [xmm6, xmm7, xmm8, xmm9, xmm10, xmm11, xmm12, xmm13, xmm14, xmm15];

    // rcx or rdi brings the arguments.
    private static readonly AssemblerRegister64 s_codes = rax, s_numbers = rdx, s_x = r8, s_stride = r9, s_inputs = r10, s_x3 = r11;

    private readonly Assembler _ = new(64);
    private readonly int _parts;
    private readonly bool _hasOffsets, _windows;

    private WidePanelCode(int parts, bool hasOffsets, bool windows) => (_parts, _hasOffsets, _windows) = (parts, hasOffsets, windows);

    /// <param name="parts">Scales of a row in a chunk, 1 or 2.</param>
    /// <param name="hasOffsets">Whether rows have offsets too.</param>
    /// <param name="windows">Whether it is called as Windows calls functions, else as other systems do.</param>
    public static byte[] Assemble(int parts, bool hasOffsets, bool windows)
    {
        var code = new WidePanelCode(parts, hasOffsets, windows);
        code.Write();
        return code._.ToBytes();
    }

    private int NumbersBytes => Tiles * WidePanel.Chunks * _parts * 64;

    private void Write()
    {
        Enter();
        Label chunk = _.CreateLabel();
        _.Label(ref chunk);
        for (int part = 0; part < _parts; part++)
        {
            SumProducts(part);
            AddToSums(part);
        }
        _.add(s_codes, ChunkBytes);
        _.add(s_numbers, _parts * 64);
        _.add(s_x, Activation.Chunk);
        _.add(s_x3, Activation.Chunk);
        _.add(s_inputs, _parts * InputNumbers.Kinds * Tokens * sizeof(float));
        _.dec(rcx);
        _.jne(chunk);
        Leave();
    }

    /// <summary>Loads the arguments and the sums so far; the arguments' address goes to the stack.</summary>
    private void Enter()
    {
        if (!_windows) _.mov(rcx, rdi);
        if (_windows)
        {
            _.sub(rsp, Saved * SavedBytes);
            for (int i = 0; i < Saved; i++) _.vmovups(__[rsp + i * SavedBytes], s_saved[i]);
        }
        _.push(rcx);
        _.mov(s_codes, __qword_ptr[rcx + Offset(nameof(WidePanel.Arguments.Codes))]);
        _.mov(s_numbers, __qword_ptr[rcx + Offset(nameof(WidePanel.Arguments.Numbers))]);
        _.mov(s_x, __qword_ptr[rcx + Offset(nameof(WidePanel.Arguments.X))]);
        _.mov(s_stride, __qword_ptr[rcx + Offset(nameof(WidePanel.Arguments.Stride))]);
        _.mov(s_inputs, __qword_ptr[rcx + Offset(nameof(WidePanel.Arguments.Sums))]);
        for (int i = 0; i < Tokens * Tiles; i++) _.vmovups(Sum(i), __[s_inputs + i * 64]);
        _.mov(s_inputs, __qword_ptr[rcx + Offset(nameof(WidePanel.Arguments.Inputs))]);
        _.mov(rcx, __qword_ptr[rcx + Offset(nameof(WidePanel.Arguments.Count))]);
        _.lea(s_x3, __[s_x + s_stride * 2]);
        _.add(s_x3, s_stride);
    }

    private void Leave()
    {
        _.pop(rcx);
        _.mov(s_inputs, __qword_ptr[rcx + Offset(nameof(WidePanel.Arguments.Sums))]);
        for (int i = 0; i < Tokens * Tiles; i++) _.vmovups(__[s_inputs + i * 64], Sum(i));
        _.vzeroupper();
        if (_windows)
        {
            for (int i = 0; i < Saved; i++) _.vmovups(s_saved[i], __[rsp + i * SavedBytes]);
            _.add(rsp, Saved * SavedBytes);
        }
        _.ret();
    }

    private void SumProducts(int part)
    {
        for (int i = 0; i < Tokens * Tiles; i++) _.vpxord(s_zmm[i], s_zmm[i], s_zmm[i]);
        int steps = 8 / _parts;
        for (int step = part * steps; step < (part + 1) * steps; step++)
        {
            for (int tile = 0; tile < Tiles; tile++) _.vmovups(Tile(tile), __[s_codes + tile * WidePanel.Chunks * ChunkBytes + step * StepBytes]);
            for (int token = 0; token < Tokens; token++)
            {
                _.vpbroadcastd(Input(token), __dword_ptr[X(token) + step * 4]);
                for (int tile = 0; tile < Tiles; tile++) _.vpdpbusd(s_zmm[token * Tiles + tile], Tile(tile), Input(token));
            }
        }
    }

    /// <summary>y += scale (xScale dot + bias), and offset times the input's sum.</summary>
    private void AddToSums(int part)
    {
        AssemblerMemoryOperand Number(int tile, int kind) => __[s_numbers + kind * NumbersBytes + tile * (NumbersBytes / Tiles) + part * 64];
        int InputAt(int kind, int token) => ((part * InputNumbers.Kinds + kind) * Tokens + token) * sizeof(float);
        for (int tile = 0; tile < Tiles; tile++) _.vmovups(Tile(tile), Number(tile, 0));
        for (int token = 0; token < Tokens; token++)
        {
            _.vbroadcastss(Input(token), __dword_ptr[s_inputs + InputAt(0, token)]);
            for (int tile = 0; tile < Tiles; tile++)
            {
                AssemblerRegisterZMM dot = s_zmm[token * Tiles + tile];
                _.vcvtdq2ps(dot, dot);
                _.vfmadd213ps(dot, Input(token), __dword_bcst[s_inputs + InputAt(1, token)]);
                _.vfmadd231ps(Sum(token * Tiles + tile), dot, Tile(tile));
            }
        }
        if (!_hasOffsets) return;
        for (int tile = 0; tile < Tiles; tile++) _.vmovups(Tile(tile), Number(tile, 1));
        for (int i = 0; i < Tokens * Tiles; i++)
            _.vfmadd231ps(Sum(i), Tile(i % Tiles), __dword_bcst[s_inputs + InputAt(2, i / Tiles)]);
    }

    private static AssemblerRegisterZMM Sum(int i) => s_zmm[Tokens * Tiles + i];

    private static AssemblerRegisterZMM Tile(int tile) => s_zmm[24 + tile];

    private static AssemblerRegisterZMM Input(int token) => s_zmm[26 + token % 4];

    /// <summary>The address of a token's inputs: two pointers, and strides of one and two rows.</summary>
    private static AssemblerMemoryOperand X(int token)
    {
        AssemblerRegister64 row = token < 3 ? s_x : s_x3;
        return (token % 3) switch { 0 => __[row], 1 => __[row + s_stride], _ => __[row + s_stride * 2] };
    }

    private static int Offset(string field) => (int)Marshal.OffsetOf<WidePanel.Arguments>(field);
}
