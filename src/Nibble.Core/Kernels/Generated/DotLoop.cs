using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>Nothing but dot products of 8-bit integers at 512 bits, as many at once as their latency hides: the processor's peak.</summary>
public static unsafe class DotLoop
{
    /// <summary>Products of one turn.</summary>
    public const int Products = 64 * Sums;

    private const int Sums = 14;

    private static readonly AssemblerRegisterZMM[] s_sums =
        [zmm16, zmm17, zmm18, zmm19, zmm20, zmm21, zmm22, zmm23, zmm24, zmm25, zmm26, zmm27, zmm28, zmm29];

    private static readonly Lazy<nint> s_code = new(() => Avx512Vnni.IsSupported ? ExecutableMemory.Load(Assemble(OperatingSystem.IsWindows())) : 0);

    /// <summary>False where the processor has no such instruction, or the system lets no program write machine code.</summary>
    public static bool IsInUse => s_code.Value != 0;

    /// <param name="turns">At least 1.</param>
    public static void Run(nint turns) => ((delegate* unmanaged<nint, void>)s_code.Value)(turns);

    // Registers that no calling convention wants back.
    private static byte[] Assemble(bool windows)
    {
        var code = new Assembler(64);
        if (!windows) code.mov(rcx, rdi);
        code.vpxord(zmm30, zmm30, zmm30);
        code.vpxord(zmm31, zmm31, zmm31);
        foreach (AssemblerRegisterZMM sum in s_sums) code.vpxord(sum, sum, sum);
        Label turn = code.CreateLabel();
        code.Label(ref turn);
        foreach (AssemblerRegisterZMM sum in s_sums) code.vpdpbusd(sum, zmm30, zmm31);
        code.dec(rcx);
        code.jne(turn);
        code.vzeroupper();
        code.ret();
        return code.ToBytes();
    }
}
