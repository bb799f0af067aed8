using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>The machine code of <see cref="FloatTile"/>.</summary>
internal sealed class FloatTileCode
{
    private const int Line = 64, LinePairs = PairRows.LineColumns / 2, LineBytes = LinePairs * FloatTiles.PairBytes;

    // rcx or rdi brings the arguments; rcx counts lines then.
    private static readonly AssemblerRegister64 s_tile = rax, s_inputs = rdx, s_sums = r8;

    private static readonly AssemblerRegisterZMM[] s_zmm = VectorRegisters.All;
    private const int FirstSum = FloatNumbersCode.Registers, MostSums = 26;

    private readonly Assembler _ = new(64);
    private readonly FloatNumbersCode _numbers;
    private readonly int _tokens;

    /// <summary>Sums of a row and token, taken in turn: a product waits for the sum before it.</summary>
    private readonly int _turns;

    private FloatTileCode(int tokens)
    {
        (_tokens, _turns) = (tokens, Math.Min(2, MostSums / (2 * tokens)));
        _numbers = new FloatNumbersCode(_, s_zmm[..FloatNumbersCode.Registers]);
    }

    private int Used => FirstSum + 2 * _tokens * _turns;

    /// <param name="tokens">1 to <see cref="PairRows.MostTokens"/>.</param>
    /// <param name="windows">Whether it is called as Windows calls functions, else as other systems do.</param>
    public static byte[] Assemble(int tokens, bool windows)
    {
        var code = new FloatTileCode(tokens);
        code.Write(windows);
        return code._.ToBytes();
    }

    private void Write(bool windows)
    {
        if (!windows) _.mov(rcx, rdi);
        VectorRegisters.Save(_, Used, windows);
        Take(s_tile, nameof(FloatTile.Arguments.Tile));
        Take(s_inputs, nameof(FloatTile.Arguments.Inputs));
        Take(s_sums, nameof(FloatTile.Arguments.Sums));
        Take(rcx, nameof(FloatTile.Arguments.Lines));
        _numbers.HoldConstants(s_tile);
        _.add(s_tile, FloatTiles.TableBytes);
        for (int i = FirstSum; i < Used; i++) _.vpxord(s_zmm[i], s_zmm[i], s_zmm[i]);
        Label line = _.CreateLabel();
        _.Label(ref line);
        StreamRequests.AskForFloats(_, s_tile, LineBytes, _tokens, r9);
        for (int pair = 0; pair < LinePairs; pair++) Multiply(pair);
        _.add(s_tile, LineBytes);
        _.add(s_inputs, _tokens * Line);
        _.dec(rcx);
        _.jne(line);
        Store();
        _.vzeroupper();
        VectorRegisters.Restore(_, Used, windows);
        _.ret();

        void Take(AssemblerRegister64 target, string field) => _.mov(target, __qword_ptr[rcx + (int)Marshal.OffsetOf<FloatTile.Arguments>(field)]);
    }

    /// <summary>Adds the products of two columns.</summary>
    private void Multiply(int pair)
    {
        AssemblerMemoryOperand columns = s_tile + pair * FloatTiles.PairBytes;
        _numbers.LoadCodes(columns);
        for (int half = 0; half < 2; half++)
        {
            AssemblerRegisterZMM numbers = _numbers.Numbers(columns, half);
            for (int token = 0; token < _tokens; token++)
                _.vdpbf16ps(Sum(half, token, pair % _turns), numbers, __dword_bcst[s_inputs + token * Line + pair * sizeof(uint)]);
        }
    }

    private void Store()
    {
        for (int token = 0; token < _tokens; token++)
            for (int half = 0; half < 2; half++)
            {
                if (_turns > 1) _.vaddps(Sum(half, token, 0), Sum(half, token, 0), Sum(half, token, 1));
                _.vmovups(__[s_sums + (2 * token + half) * Line], Sum(half, token, 0));
            }
    }

    private AssemblerRegisterZMM Sum(int half, int token, int turn) => s_zmm[FirstSum + (turn * 2 + half) * _tokens + token];
}
