using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>The machine code of <see cref="PairRows"/>.</summary>
internal sealed class PairRowsCode
{
    private const int Line = 64;

    // vpternlogd's truth table of a or b or c.
    private const byte Or = 0xFE;

    /// <summary>What of the stored numbers is multiplied.</summary>
    private enum Part
    {
        BFloat16,
        /// <summary>The upper 8 bits of an F16.</summary>
        Upper,
        /// <summary>The others.</summary>
        Rest,
    }

    // rcx or rdi brings the arguments; rcx counts lines then.
    private static readonly AssemblerRegister64 s_inputs = rdx, s_next = r8, s_sums = r9, s_rests = r10, s_constants = r11;
    private static readonly NineRows s_rows = new(rax, rsi, rdi, rbx);

    private readonly Assembler _ = new(64);
    private readonly int _tokens, _count;
    private readonly bool _windows;

    // After the sums: what is held of a line (the inputs of all tokens, or the weights of all rows), what changes, and what helps with F16.
    private readonly AssemblerRegisterZMM[] _held;
    private readonly AssemblerRegisterZMM _changing, _second, _below, _places;
    private readonly int _used;

    private PairRowsCode(int tokens, bool windows)
    {
        (_tokens, _count, _windows) = (tokens, PairRows.RowsOf(tokens), windows);
        int next = _tokens * _count;
        _held = VectorRegisters.All[next..(next += Math.Min(_tokens, _count))];
        AssemblerRegisterZMM[] others = VectorRegisters.All[next..(_used = next + 4)];
        (_changing, _second, _below, _places) = (others[0], others[1], others[2], others[3]);
    }

    /// <param name="halves">Whether weights are F16, else BF16.</param>
    /// <param name="tokens">1 to <see cref="PairRows.MostTokens"/>.</param>
    /// <param name="windows">Whether it is called as Windows calls functions, else as other systems do.</param>
    public static byte[] Assemble(bool halves, int tokens, bool windows)
    {
        var code = new PairRowsCode(tokens, windows);
        code.Enter();
        if (halves) code.MultiplyHalves();
        else code.Multiply(Part.BFloat16);
        return code._.ToBytes();
    }

    private void Enter()
    {
        _.push(rbx);
        _.push(rsi);
        _.push(rdi);
        if (!_windows) _.mov(rcx, rdi);
        VectorRegisters.Save(_, _used, _windows);
        Take(s_rows.First, nameof(PairRows.Arguments.Weights));
        Take(s_rows.Stride, nameof(PairRows.Arguments.Stride));
        Take(s_inputs, nameof(PairRows.Arguments.Inputs));
        Take(s_next, nameof(PairRows.Arguments.Next));
        Take(s_sums, nameof(PairRows.Arguments.Sums));
        Take(s_constants, nameof(PairRows.Arguments.Constants));
        Take(s_rests, nameof(PairRows.Arguments.Rests));
        Take(rcx, nameof(PairRows.Arguments.Lines));
        s_rows.Enter(_, _count);

        void Take(AssemblerRegister64 target, string field) => _.mov(target, __qword_ptr[rcx + (int)Marshal.OffsetOf<PairRows.Arguments>(field)]);
    }

    private void MultiplyHalves()
    {
        Label rests = _.CreateLabel();
        _.vmovups(_places, __[s_constants]);
        _.cmp(s_rests, 0);
        _.jne(rests);
        _.vpxord(_below, _below, _below);
        Multiply(Part.Upper);
        _.Label(ref rests);
        Multiply(Part.Rest);
    }

    /// <summary>Multiplies all lines, and returns.</summary>
    private void Multiply(Part part)
    {
        for (int i = 0; i < _tokens * _count; i++) _.vpxord(VectorRegisters.All[i], VectorRegisters.All[i], VectorRegisters.All[i]);
        Label line = _.CreateLabel();
        _.Label(ref line);
        if (_tokens <= _count) MultiplyByRows(part);
        else MultiplyByTokens(part);
        s_rows.Add(_, _count, Line);
        _.add(s_inputs, _tokens * Line);
        _.add(s_next, _count * Line);
        _.dec(rcx);
        _.jne(line);
        for (int i = 0; i < _tokens * _count; i++) _.vmovups(__[s_sums + i * Line], VectorRegisters.All[i]);
        if (part == Part.Upper) _.vmovups(__[s_sums + _tokens * _count * Line], _below);
        _.vzeroupper();
        VectorRegisters.Restore(_, _used, _windows);
        _.pop(rdi);
        _.pop(rsi);
        _.pop(rbx);
        _.ret();
    }

    private void MultiplyByRows(Part part)
    {
        for (int token = 0; token < _tokens; token++) _.vmovups(_held[token], __[s_inputs + token * Line]);
        for (int row = 0; row < _count; row++)
        {
            Load(_changing, row, part);
            for (int token = 0; token < _tokens; token++) _.vdpbf16ps(Sum(row, token), _changing, _held[token]);
        }
    }

    private void MultiplyByTokens(Part part)
    {
        for (int row = 0; row < _count; row++) Load(_held[row], row, part);
        for (int token = 0; token < _tokens; token++)
        {
            _.vmovups(_changing, __[s_inputs + token * Line]);
            for (int row = 0; row < _count; row++) _.vdpbf16ps(Sum(row, token), _held[row], _changing);
        }
    }

    /// <summary>A row's line as pairs of bfloat16; asks for a line of the next rows.</summary>
    private void Load(AssemblerRegisterZMM target, int row, Part part)
    {
        _.prefetcht1(__[s_next + row * Line]);
        if (part == Part.BFloat16)
        {
            _.vmovups(target, __[s_rows.At(row)]);
            return;
        }
        _.vcvtph2ps(target, __ymmword_ptr[s_rows.At(row)]);
        if (part == Part.Rest) TakeUpperAway(target);
        _.vcvtph2ps(_second, __ymmword_ptr[s_rows.At(row, Line / 2)]);
        if (part == Part.Rest) TakeUpperAway(_second);
        else _.vpternlogd(_below, target, _second, Or);
        _.vpermt2w(target, _places, _second);
    }

    private void TakeUpperAway(AssemblerRegisterZMM floats)
    {
        AssemblerRegisterZMM upper = _below;
        _.vpandd(upper, floats, __dword_bcst[s_constants + Line]);
        _.vsubps(floats, floats, upper);
    }

    private AssemblerRegisterZMM Sum(int row, int token) => VectorRegisters.All[row * _tokens + token];
}
