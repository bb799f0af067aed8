using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>Code that makes bfloat16 numbers of two columns of a tile of <see cref="FloatTiles"/>.</summary>
/// <remarks>32-bit lane r is row r, or row 16 + r: the numbers of both columns.</remarks>
/// <param name="code">What is written to.</param>
/// <param name="registers">Six, for good.</param>
internal sealed class FloatNumbersCode(Assembler code, AssemblerRegisterZMM[] registers)
{
    /// <summary>Registers that it takes.</summary>
    public const int Registers = 6;

    // vpternlogd's truth table of (a and b) or c.
    private const byte MaskedOr = 0xEA;

    private readonly AssemblerRegisterZMM _table = registers[0], _mask = registers[1];
    private readonly AssemblerRegisterZMM[] _exponents = registers[2..4], _numbers = registers[4..6];

    /// <summary>Fills the registers of constants; r9d is overwritten.</summary>
    public void HoldConstants(AssemblerRegister64 table)
    {
        code.mov(r9d, 0x807F807F);
        code.vpbroadcastd(_mask, r9d);
        code.vmovups(_table, __[table]);
    }

    /// <summary>Loads the codes of both halves of the rows.</summary>
    /// <param name="pair">Where the two columns begin.</param>
    public void LoadCodes(AssemblerMemoryOperand pair)
    {
        // A place in the table is 5 bits of a word, of which the upper does not matter: the table is there twice.
        code.vpmovzxbw(_exponents[0], __ymmword_ptr[pair + FloatTiles.CodesAt]);
        code.vpsrlw(_exponents[1], _exponents[0], 4);
    }

    /// <summary>The numbers of half of the rows.</summary>
    public AssemblerRegisterZMM Numbers(AssemblerMemoryOperand pair, int half)
    {
        code.vpermw(_exponents[half], _exponents[half], _table);
        // The sign, which the upper bit of a byte is, becomes the upper bit of a word.
        code.vpmovsxbw(_numbers[half], __ymmword_ptr[pair + half * FloatTiles.CodesAt / 2]);
        code.vpternlogd(_numbers[half], _mask, _exponents[half], MaskedOr);
        return _numbers[half];
    }
}
