using System.Runtime.Intrinsics.X86;

namespace Nibble.Core.Kernels.Generated;

/// <summary>The instruction set that generated code is written for: AVX-512 with VNNI.</summary>
/// <remarks>
/// The runtime's own answer does not do: a program that is compiled ahead of time for AVX2 is told that there is no AVX-512 on
/// any processor.
/// </remarks>
public static unsafe class Avx512Vnni
{
    /// <summary>True if the processor has it, the system keeps its registers, and neither was told to leave it alone.</summary>
    public static bool IsSupported { get; } = Avx2.IsSupported && Environment.GetEnvironmentVariable("DOTNET_EnableAVX512") is not "0" && HasInstructions();

    /// <summary>True if the processor also has AVX512-VBMI: look-ups of bytes in tables of 64 and 128.</summary>
    public static bool HasByteLookUps { get; } = X86Base.IsSupported && (X86Base.CpuId(7, 0).Ecx & 1 << 1) != 0;

    private static bool HasInstructions()
    {
        const int Avx512F = 1 << 16, Avx512BW = 1 << 30, Avx512Vnni = 1 << 11;
        (int _, int ebx, int ecx, int _) = X86Base.CpuId(7, 0);
        return (ebx & Avx512F) != 0 && (ebx & Avx512BW) != 0 && (ecx & Avx512Vnni) != 0 && KeepsRegisters();
    }

    /// <summary>Whether the system saves masks and 512-bit registers when it changes tasks: bits of the register that xgetbv reads.</summary>
    private static bool KeepsRegisters()
    {
        const ulong Sse = 1 << 1, Avx = 1 << 2, Masks = 1 << 5, UpperHalves = 1 << 6, UpperRegisters = 1 << 7;
        const ulong all = Sse | Avx | Masks | UpperHalves | UpperRegisters;
        nint code = ExecutableMemory.Load([0x31, 0xC9, 0x0F, 0x01, 0xD0, 0xC3]); // xor ecx, ecx; xgetbv; ret
        return code == 0 || ((uint)((delegate* unmanaged<ulong>)code)() & all) == all;
    }
}
