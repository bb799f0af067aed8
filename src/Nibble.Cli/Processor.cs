using System.Numerics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;
using System.Text;
using Nibble.Core.Kernels.Generated;

namespace Nibble.Cli;

/// <summary>What the processor has, and what the runtime lets the kernels use of it.</summary>
internal static class Processor
{
    /// <summary>The instruction sets that matter to the kernels.</summary>
    private static readonly (string Name, bool InUse)[] Sets =
    [
        ("SSE4.2", Sse42.IsSupported), ("AVX", Avx.IsSupported), ("AVX2", Avx2.IsSupported), ("FMA", Fma.IsSupported),
        ("BMI2", Bmi2.X64.IsSupported), ("AVX-VNNI", AvxVnni.IsSupported), ("AVX512F", Avx512F.IsSupported),
        ("AVX512BW", Avx512BW.IsSupported), ("AVX512DQ", Avx512DQ.IsSupported), ("AVX512VBMI", Avx512Vbmi.IsSupported),
        ("AVX512-VNNI", WideTile.IsInUse), ("AVX512-BF16", PairPanel.Instance is not null), ("AMX-BF16", AmxPairs.Instance is not null),
        ("GFNI", Gfni.IsSupported), ("NEON", AdvSimd.IsSupported), ("DOTPROD", Dp.IsSupported),
    ];

    /// <summary>The widest vector that the runtime calls fast.</summary>
    public static int VectorBits =>
        Vector512.IsHardwareAccelerated ? 512
        : Vector256.IsHardwareAccelerated ? 256
        : Vector128.IsHardwareAccelerated ? 128
        : Vector.IsHardwareAccelerated ? 8 * Vector<byte>.Count : 0;

    public static List<string> InstructionSetsInUse() => [.. Sets.Where(s => s.InUse).Select(s => s.Name)];

    /// <summary>A line for each instruction set that the processor has and the runtime does not use.</summary>
    public static List<string> InstructionSetsMissing()
    {
        var lines = new List<string>();
        if (!X86Base.IsSupported)
        {
            if (!AdvSimd.IsSupported) lines.Add("no vector instructions in use: every kernel runs its plain code, many times slower");
            return lines;
        }
        (int _, int ebx, int _, int _) = X86Base.CpuId(7, 0);
        (int eax1, int _, int _, int _) = X86Base.CpuId(7, 1);
        Check("AVX2", (ebx & (1 << 5)) != 0, Avx2.IsSupported, "DOTNET_EnableAVX2", "x86-64-v3");
        Check("AVX-VNNI", (eax1 & (1 << 4)) != 0, AvxVnni.IsSupported, "DOTNET_EnableAVXVNNI", "x86-64-v3,avxvnni");
        // Where generated code has it for the products, what the runtime would do with it is too little to speak of.
        Check("AVX-512", (ebx & (1 << 16)) != 0, Avx512F.IsSupported || WideTile.IsInUse, "DOTNET_EnableAVX512", "x86-64-v4");
        if (Avx512Vnni.IsSupported && !WideTile.IsInUse)
            lines.Add("the processor has AVX512-VNNI, but this system lets no program write machine code: products are computed at 256 bits");
        return lines;

        void Check(string set, bool has, bool inUse, string variable, string instructionSet)
        {
            if (!has && set == "AVX2") lines.Add("the processor has no AVX2; the kernels run their 128-bit code, about half as fast");
            if (has && !inUse)
                lines.Add($"the processor has {set} but this program does not use it: clear {variable} and DOTNET_EnableHWIntrinsic, "
                    + $"or, if it was compiled ahead of time, publish with IlcInstructionSet={instructionSet}");
        }
    }

    /// <summary>The maker's name of the processor.</summary>
    public static string Name()
    {
        if (X86Base.IsSupported && BrandString() is { Length: > 0 } brand) return brand;
        if (File.Exists("/proc/cpuinfo"))
            foreach (string line in File.ReadLines("/proc/cpuinfo"))
                if (line.StartsWith("model name", StringComparison.Ordinal) || line.StartsWith("Model", StringComparison.Ordinal))
                    return line[(line.IndexOf(':') + 1)..].Trim();
        return RuntimeInformation.ProcessArchitecture.ToString();
    }

    /// <summary>CPUID leaves 0x80000002 to 0x80000004 spell the name in 48 bytes.</summary>
    private static string BrandString()
    {
        if ((uint)X86Base.CpuId(unchecked((int)0x80000000), 0).Eax < 0x80000004) return "";
        Span<int> words = stackalloc int[12];
        for (int leaf = 0; leaf < 3; leaf++)
            (words[4 * leaf], words[4 * leaf + 1], words[4 * leaf + 2], words[4 * leaf + 3]) =
                X86Base.CpuId(unchecked((int)0x80000002) + leaf, 0);
        return Encoding.ASCII.GetString(MemoryMarshal.AsBytes(words)).TrimEnd('\0', ' ').Trim();
    }
}
