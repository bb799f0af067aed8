using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>The vector registers in the order in which code should take them, and the saving of those that Windows wants back.</summary>
internal static class VectorRegisters
{
    private const int Free = 22, SavedBytes = 16;

    /// <summary>Those that both calling conventions let a callee change, then those that Windows wants back.</summary>
    public static readonly AssemblerRegisterZMM[] All =
    [
        zmm0, zmm1, zmm2, zmm3, zmm4, zmm5, zmm16, zmm17, zmm18, zmm19, zmm20, zmm21, zmm22, zmm23, zmm24, zmm25, zmm26, zmm27, zmm28,
        zmm29, zmm30, zmm31, zmm6, zmm7, zmm8, zmm9, zmm10, zmm11, zmm12, zmm13, zmm14, zmm15,
    ];

    /// <summary>zmm0 to zmm31.</summary>
    public static AssemblerRegisterZMM Number(int number) => new(Register.ZMM0 + number);

    /// <summary>The lower half of a register.</summary>
    public static AssemblerRegisterYMM LowerOf(AssemblerRegisterZMM register) => new(Register.YMM0 + (register.Value - Register.ZMM0));

    private static readonly AssemblerRegisterXMM[] s_saved = [xmm6, xmm7, xmm8, xmm9, xmm10, xmm11, xmm12, xmm13, xmm14, xmm15];

    /// <param name="used">How many of <see cref="All"/> the code takes.</param>
    /// <param name="windows">Whether it is called as Windows calls functions.</param>
    public static void Save(Assembler code, int used, bool windows)
    {
        if (!windows || used <= Free) return;
        code.sub(rsp, s_saved.Length * SavedBytes);
        for (int i = 0; i < s_saved.Length; i++) code.vmovups(__[rsp + i * SavedBytes], s_saved[i]);
    }

    /// <summary>Undoes <see cref="Save"/>, of the same arguments.</summary>
    public static void Restore(Assembler code, int used, bool windows)
    {
        if (!windows || used <= Free) return;
        for (int i = 0; i < s_saved.Length; i++) code.vmovups(s_saved[i], __[rsp + i * SavedBytes]);
        code.add(rsp, s_saved.Length * SavedBytes);
    }
}
