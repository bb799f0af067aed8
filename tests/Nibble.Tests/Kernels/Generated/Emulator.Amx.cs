using System.Runtime.InteropServices;
using Iced.Intel;
using Nibble.Core.Kernels.Generated;

namespace Nibble.Tests.Kernels.Generated;

internal sealed unsafe partial class Emulator
{
    // Matrix registers: what configures them lasts from call to call, as in a thread.

    private const int TileBytes = Amx.Rows * Amx.RowBytes;

    [ThreadStatic] private static (Instruction[] Code, bool Windows) t_amxPairs;
    [ThreadStatic] private static (int Rows, int Bytes)[]? t_configuration;
    private readonly byte[] _tiles = new byte[8 * TileBytes];

    /// <summary>True if this thread has let go of the matrix registers.</summary>
    public static bool IsAmxReleased => t_configuration is null;

    /// <summary>The generated product of pairs by matrix registers, emulated: good for calls from this thread, until the next is asked for.</summary>
    public static AmxPairs AmxPairs()
    {
        t_amxPairs = (Decode(AmxPairsCode.Assemble()), false);
        return new AmxPairs((nint)(delegate* unmanaged<AmxPairs.Arguments*, void>)&CallAmxPairs);
    }

    [UnmanagedCallersOnly]
    private static void CallAmxPairs(AmxPairs.Arguments* arguments) => Call(t_amxPairs, arguments);

    /// <returns>True if it was one of these.</returns>
    private bool StepMatrix(in Instruction i)
    {
        switch (i.Mnemonic)
        {
            case Mnemonic.Ldtilecfg: t_configuration = ReadConfiguration((byte*)Address(i)); break;
            case Mnemonic.Tilerelease: t_configuration = null; break;
            case Mnemonic.Tileloadd: MoveRows(i, i.Op0Register, store: false); break;
            case Mnemonic.Tilestored: MoveRows(i, i.Op1Register, store: true); break;
            case Mnemonic.Tdpbf16ps: MultiplyMatrices(i); break;
            default: return false;
        }
        return true;
    }

    private static (int, int)[] ReadConfiguration(byte* from)
    {
        if (from[0] != 1) throw new InvalidOperationException("the first byte is no palette");
        var registers = new (int Rows, int Bytes)[8];
        for (int t = 0; t < 8; t++) registers[t] = (from[48 + t], ((ushort*)(from + 16))[t]);
        if (registers.Any(r => r.Rows > Amx.Rows || r.Bytes > Amx.RowBytes || r.Bytes % 4 != 0)) throw new InvalidOperationException("there are no such registers");
        return registers;
    }

    private Span<byte> Matrix(Register register) => _tiles.AsSpan((register - Register.TMM0) * TileBytes, TileBytes);

    private static (int Rows, int Bytes) Extent(Register register) =>
        t_configuration?[register - Register.TMM0] is { Rows: > 0 } extent ? extent : throw new InvalidOperationException($"{register} is not configured");

    /// <summary>Between memory and a register; what a load leaves is cleared.</summary>
    private void MoveRows(in Instruction i, Register register, bool store)
    {
        (int rows, int bytes) = Extent(register);
        Span<byte> matrix = Matrix(register);
        if (!store) matrix.Clear();
        ulong first = Get(i.MemoryBase) + i.MemoryDisplacement64, stride = Get(i.MemoryIndex);
        for (int row = 0; row < rows; row++)
        {
            var memory = new Span<byte>((void*)(first + (ulong)row * stride), bytes);
            Span<byte> own = matrix.Slice(row * Amx.RowBytes, bytes);
            if (store) own.CopyTo(memory);
            else memory.CopyTo(own);
        }
    }

    /// <summary>c += a b, two bfloat16 at a time: a row of b is two columns of a.</summary>
    private void MultiplyMatrices(in Instruction i)
    {
        (int rows, int bytes) = Extent(i.Op0Register);
        if (Extent(i.Op1Register).Rows != rows || Extent(i.Op2Register).Bytes != bytes || Extent(i.Op1Register).Bytes != 4 * Extent(i.Op2Register).Rows)
            throw new InvalidOperationException($"{i}: the registers do not go together");
        Span<uint> c = Lanes32(Matrix(i.Op0Register)), a = Lanes32(Matrix(i.Op1Register)), b = Lanes32(Matrix(i.Op2Register));
        for (int m = 0; m < rows; m++)
            for (int k = 0; k < Extent(i.Op2Register).Rows; k++)
                for (int n = 0; n < bytes / 4; n++)
                {
                    ref uint sum = ref c[m * Lanes + n];
                    uint x = a[m * Lanes + k], y = b[k * Lanes + n];
                    sum = Bits(Float(sum) + UpperFloat(x << 16) * UpperFloat(y << 16) + UpperFloat(x) * UpperFloat(y));
                }

        static Span<uint> Lanes32(Span<byte> matrix) => MemoryMarshal.Cast<byte, uint>(matrix);
    }
}
