namespace Nibble.Core.Kernels.Generated;

/// <summary>
/// Adds up, for the rows of tiles of <see cref="VectorTiles"/>, what their codes of a block of places name in tables of
/// <see cref="PartialProducts"/>. Generated at run time because .NET 10 has no AVX-512 in programs compiled ahead of time.
/// </summary>
/// <remarks>
/// A register is 64 rows. The lower bytes of 256 products are four registers, the upper bytes four: two look-ups by vpermi2b, which minds the
/// lower 7 bits of a code, and a choice by the eighth. Bytes are added as pairs, and once more the upper one of each pair alone, which gives the
/// sum of the lower ones too. 64 rows by one place are 4 look-ups, 2 choices, a mask, 6 operations to add up, a load, and those of the
/// tables, which two tiles share.
/// </remarks>
public sealed unsafe class VectorTile
{
    /// <summary>What the generated code is told. Its fields are read by their offsets.</summary>
    public struct Arguments
    {
        /// <summary>[tiles, places, 64 rows], rows in the order of <see cref="VectorTiles"/>.</summary>
        public byte* Codes;

        /// <summary>Places of the block, at least 1.</summary>
        public nint Places;

        /// <summary>Times that tiles are taken, at least 1.</summary>
        public nint Turns;

        /// <summary>[places, <see cref="PartialProducts.TableBytes"/>].</summary>
        public byte* Tables;

        /// <summary>[tiles, 64 rows], added to.</summary>
        public float* Sums;

        /// <summary>What a sum of the tables' numbers is multiplied by.</summary>
        public float Unit;

        /// <summary>What must be added to it before: what was added to the products.</summary>
        public int Bias;
    }

    /// <summary>Tiles that share what is loaded of the tables.</summary>
    public const int Together = 2;

    private static readonly Lazy<VectorTile?>[] s_all = [.. Enumerable.Range(1, Together).Select(tiles => new Lazy<VectorTile?>(() => Load(tiles)))];

    private readonly delegate* unmanaged<Arguments*, void> _code;

    /// <param name="code">The address of a function that takes a pointer to <see cref="Arguments"/>.</param>
    internal VectorTile(nint code) => _code = (delegate* unmanaged<Arguments*, void>)code;

    /// <summary>The code that takes one tile, or <see cref="Together"/>, in a turn; null where it cannot run.</summary>
    public static VectorTile? For(int tiles) => s_all[tiles - 1].Value;

    public void Add(ref Arguments arguments)
    {
        fixed (Arguments* a = &arguments) _code(a);
    }

    private static VectorTile? Load(int tiles)
    {
        if (!Avx512Vnni.IsSupported || !Avx512Vnni.HasByteLookUps) return null;
        nint code = ExecutableMemory.Load(VectorTileCode.Assemble(tiles, OperatingSystem.IsWindows()));
        return code == 0 ? null : new VectorTile(code);
    }
}
