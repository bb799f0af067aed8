using System.Runtime.Intrinsics.X86;

namespace Nibble.Core.Kernels.Generated;

/// <summary>The instruction that multiplies pairs of bfloat16 and sums them in float32: vdpbf16ps, which .NET 10 does not offer.</summary>
public static class Avx512BFloat16
{
    /// <summary>True if the processor has it, and the rest of what generated code wants.</summary>
    public static bool IsSupported { get; } = Avx512Vnni.IsSupported && (X86Base.CpuId(7, 1).Eax & (1 << 5)) != 0;
}
