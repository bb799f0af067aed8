using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>The machine code of <see cref="HalfNumbers"/>.</summary>
internal static class HalfNumbersCode
{
    /// <summary>Numbers of a vector.</summary>
    public static int Lanes(bool wide) => wide ? 16 : 8;

    /// <param name="wide">Whether vectors are of 512 bits, else of 256.</param>
    /// <param name="windows">Whether it is called as Windows calls functions, else as other systems do.</param>
    public static byte[] Assemble(bool wide, bool windows)
    {
        var code = new Assembler(64);
        AssemblerRegister64 halves = rdx, numbers = r8, vectors = r9;
        if (!windows) code.mov(rcx, rdi);
        Take(halves, nameof(HalfNumbers.Arguments.Halves));
        Take(numbers, nameof(HalfNumbers.Arguments.Numbers));
        Take(vectors, nameof(HalfNumbers.Arguments.Vectors));
        Label vector = code.CreateLabel();
        code.Label(ref vector);
        if (wide)
        {
            code.vcvtph2ps(zmm0, __ymmword_ptr[halves]);
            code.vmovups(__zmmword_ptr[numbers], zmm0);
        }
        else
        {
            code.vcvtph2ps(ymm0, __xmmword_ptr[halves]);
            code.vmovups(__ymmword_ptr[numbers], ymm0);
        }
        code.add(halves, Lanes(wide) * sizeof(short));
        code.add(numbers, Lanes(wide) * sizeof(float));
        code.dec(vectors);
        code.jne(vector);
        code.vzeroupper();
        code.ret();
        return code.ToBytes();

        void Take(AssemblerRegister64 target, string field) => code.mov(target, __qword_ptr[rcx + (int)Marshal.OffsetOf<HalfNumbers.Arguments>(field)]);
    }
}
