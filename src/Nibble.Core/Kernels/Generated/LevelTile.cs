namespace Nibble.Core.Kernels.Generated;

/// <summary>
/// The product of a tile of <see cref="LevelTiles"/> (16 rows) with one token at 512 bits, generated at run time because .NET 10
/// offers vpdpbusd at 256 bits only.
/// </summary>
/// <remarks>
/// A register is 16 rows by 4 columns, a lane a row. 64 weights are half a shift, two look-ups by vpermb, which minds neither the bits
/// above a code nor whose row it is, and two vpdpbusd; digits are put together, and multiplied by scales, once in 512 or 1,024 weights: 5
/// operations in all. Of the four ports of a Zen 4 look-ups and dot products share three, so 64 weights take 2.9 cycles.
/// </remarks>
public sealed unsafe class LevelTile
{
    /// <summary>What the generated code is told. Its fields are read by their offsets.</summary>
    public struct Arguments
    {
        /// <summary>[stretches]: 16 scales, then [8 steps, 16 rows, 4 columns] of codes, the first 32 columns in the lower half of a byte, the others in its upper.</summary>
        public byte* Tile;

        /// <summary>Stretches of 64 columns, at least 1.</summary>
        public nint Stretches;

        /// <summary>The input's codes.</summary>
        public sbyte* X;

        /// <summary>[chunks, <see cref="InputNumbers.Kinds"/>].</summary>
        public float* Inputs;

        /// <summary>A table of <see cref="LevelDigits"/>.</summary>
        public byte* Table;

        /// <summary>[16 rows], overwritten.</summary>
        public float* Sums;
    }

    private static readonly Lazy<LevelTile?> s_halves = new(() => Load(2)), s_singles = new(() => Load(4));

    private readonly delegate* unmanaged<Arguments*, void> _code;

    /// <param name="code">The address of a function that takes a pointer to <see cref="Arguments"/>.</param>
    internal LevelTile(nint code) => _code = (delegate* unmanaged<Arguments*, void>)code;

    /// <summary>The code for scales of so many bytes, 2 or 4, or null where it cannot run.</summary>
    public static LevelTile? For(int scaleBytes) => (scaleBytes == 2 ? s_halves : s_singles).Value;

    public void Multiply(ref Arguments arguments)
    {
        fixed (Arguments* a = &arguments) _code(a);
    }

    private static LevelTile? Load(int scaleBytes)
    {
        if (!Avx512Vnni.IsSupported || !Avx512Vnni.HasByteLookUps) return null;
        nint code = ExecutableMemory.Load(LevelTileCode.Assemble(scaleBytes, OperatingSystem.IsWindows()));
        return code == 0 ? null : new LevelTile(code);
    }
}
