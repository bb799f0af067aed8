using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>The machine code of <see cref="FloatPairs"/>.</summary>
internal static class FloatPairsCode
{
    private const int Line = 64, ColumnsBytes = FloatPairs.Together * FloatTiles.PairBytes;

    /// <summary>Bytes between what is read and what is asked for.</summary>
    private const int Ahead = 2048;

    private static readonly AssemblerRegister64 s_columns = rax, s_pairs = rdx;

    /// <param name="windows">Whether it is called as Windows calls functions, else as other systems do.</param>
    public static byte[] Assemble(bool windows)
    {
        var code = new Assembler(64);
        var numbers = new FloatNumbersCode(code, VectorRegisters.All[..FloatNumbersCode.Registers]);
        if (!windows) code.mov(rcx, rdi);
        Take(r8, nameof(FloatPairs.Arguments.Table));
        numbers.HoldConstants(r8);
        Take(s_columns, nameof(FloatPairs.Arguments.Columns));
        Take(s_pairs, nameof(FloatPairs.Arguments.Pairs));
        Take(rcx, nameof(FloatPairs.Arguments.Count));
        Label step = code.CreateLabel();
        code.Label(ref step);
        for (int at = 0; at < ColumnsBytes; at += Line) code.prefetcht0(__[s_columns + Ahead + at]);
        for (int pair = 0; pair < FloatPairs.Together; pair++)
        {
            AssemblerMemoryOperand columns = s_columns + pair * FloatTiles.PairBytes;
            numbers.LoadCodes(columns);
            for (int half = 0; half < 2; half++) code.vmovups(__zmmword_ptr[s_pairs + (2 * pair + half) * Line], numbers.Numbers(columns, half));
        }
        code.add(s_columns, ColumnsBytes);
        code.add(s_pairs, FloatPairs.Together * 2 * Line);
        code.dec(rcx);
        code.jne(step);
        code.vzeroupper();
        code.ret();
        return code.ToBytes();

        void Take(AssemblerRegister64 target, string field) => code.mov(target, __qword_ptr[rcx + (int)Marshal.OffsetOf<FloatPairs.Arguments>(field)]);
    }
}
