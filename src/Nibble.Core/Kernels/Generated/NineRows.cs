using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>The addresses of up to nine rows that lie equally far apart: three from each of three registers.</summary>
/// <param name="First">Points into row 0.</param>
/// <param name="Fourth">Points into row 3.</param>
/// <param name="Seventh">Points into row 6.</param>
/// <param name="Stride">Bytes from a row to the next.</param>
internal readonly record struct NineRows(AssemblerRegister64 First, AssemblerRegister64 Fourth, AssemblerRegister64 Seventh, AssemblerRegister64 Stride)
{
    /// <summary>Makes the other addresses of the first.</summary>
    /// <param name="rows">That will be read; registers that these do not need are left alone.</param>
    public void Enter(Assembler code, int rows)
    {
        if (rows > 3) AddThree(code, Fourth, First);
        if (rows > 6) AddThree(code, Seventh, Fourth);
    }

    private void AddThree(Assembler code, AssemblerRegister64 target, AssemblerRegister64 from)
    {
        code.lea(target, __[from + Stride * 2]);
        code.add(target, Stride);
    }

    /// <summary>Moves on along the rows.</summary>
    public void Add(Assembler code, int rows, int bytes)
    {
        code.add(First, bytes);
        if (rows > 3) code.add(Fourth, bytes);
        if (rows > 6) code.add(Seventh, bytes);
    }

    /// <summary>A place in a row.</summary>
    public AssemblerMemoryOperand At(int row, int at = 0)
    {
        AssemblerRegister64 from = (row / 3) switch { 0 => First, 1 => Fourth, _ => Seventh };
        return (row % 3) switch
        {
            0 => from + at,
            1 => from + Stride + at,
            _ => from + Stride * 2 + at,
        };
    }

    /// <summary>Four bytes of a row, for every lane.</summary>
    public AssemblerMemoryOperand Broadcast(int row, int at = 0) => __dword_bcst[At(row, at)];
}
