using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace Nibble.Core.Kernels.Generated;

/// <summary>
/// Advanced Matrix Extensions: registers of 16 rows of 64 bytes, which one instruction multiplies (Intel 64 and IA-32 Architectures
/// Software Developer's Manual, volume 1, chapter 18). .NET 10 does not offer them.
/// </summary>
/// <remarks>
/// Linux gives a process these registers only when it asks for them; Windows too, by other means, which are not written: products go
/// through vectors there. <c>NIBBLE_AMX=0</c> leaves them alone.
/// </remarks>
public static unsafe partial class Amx
{
    /// <summary>Rows of a register.</summary>
    public const int Rows = 16;

    /// <summary>Bytes of a row.</summary>
    public const int RowBytes = 64;

    /// <summary>Bytes of what <c>ldtilecfg</c> reads.</summary>
    internal const int ConfigurationBytes = 64;

    private const int TileBit = 24, BFloat16Bit = 22;

    /// <summary>True if the processor multiplies bfloat16 so, and the system lets this process.</summary>
    public static bool HasBFloat16 { get; } =
        Avx512BFloat16.IsSupported && OperatingSystem.IsLinux() && Environment.GetEnvironmentVariable("NIBBLE_AMX") is not "0"
        && (X86Base.CpuId(7, 0).Edx >> TileBit & X86Base.CpuId(7, 0).Edx >> BFloat16Bit & 1) != 0 && IsGranted();

    /// <summary>Asks Linux for the registers' data, on behalf of all threads.</summary>
    private static bool IsGranted()
    {
        const long ArchPrctl = 158, RequestPermission = 0x1023, TileData = 18;
        return SystemCall(ArchPrctl, RequestPermission, TileData) == 0;
    }

    /// <summary>Describes registers to <c>ldtilecfg</c>.</summary>
    /// <param name="target"><see cref="ConfigurationBytes"/> bytes.</param>
    /// <param name="registers">Rows, and bytes of each, from register 0 on.</param>
    internal static void Configure(byte* target, params ReadOnlySpan<(int Rows, int Bytes)> registers)
    {
        const int Palette = 1, RowBytesAt = 16, RowsAt = 48;
        new Span<byte>(target, ConfigurationBytes).Clear();
        target[0] = Palette;
        for (int i = 0; i < registers.Length; i++)
        {
            target[RowsAt + i] = (byte)registers[i].Rows;
            ((ushort*)(target + RowBytesAt))[i] = (ushort)registers[i].Bytes;
        }
    }

    [LibraryImport("libc", EntryPoint = "syscall")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial long SystemCall(long number, long first, long second);
}
