using System.Collections.Concurrent;

namespace Nibble.Core.Kernels.Generated;

/// <summary>
/// The product of tiles (16 rows each) with one to eight tokens at 512 bits, straight from the packed codes; generated at run time for
/// each layout of chunks and number of tokens because .NET 10 offers vpdpbusd at 256 bits only. It computes what
/// <see cref="PackedKernel"/> computes with <see cref="VnniDot"/>, in the same order, so the results are equal to the bit.
/// </summary>
/// <remarks>
/// All 16 rows of a step are one register. A chunk of Q4_0 is 12 operations and 8 loads for its codes, and for each token 8 dot
/// products that take the input from memory and 3 operations for its scales: with one token 24 operations of the two vector
/// ports for 288 bytes, 72 GB/s of a core at 3 GHz, more than its memory gives; with eight the products are 64 of 101.
/// </remarks>
public sealed unsafe class WideTile
{
    /// <summary>What the generated code is told. Its fields are read by their offsets.</summary>
    public struct Arguments
    {
        /// <summary>The runs of the first tile; those of the others follow.</summary>
        public byte* Tile;

        /// <summary>Tiles, at least 1.</summary>
        public nint Tiles;

        /// <summary>Chunks of the tile, at least 1.</summary>
        public nint Chunks;

        /// <summary>The first token's codes.</summary>
        public sbyte* X;

        /// <summary>Bytes from a token's codes to the next one's.</summary>
        public nint Stride;

        /// <summary>[chunks, parts, <see cref="InputNumbers.Kinds"/>, tokens].</summary>
        public float* Inputs;

        /// <summary>16 bytes, the level of each code plus 128; read where codes stand for entries of a table.</summary>
        public byte* Table;

        /// <summary>[tiles, tokens, 16 rows], overwritten.</summary>
        public float* Sums;
    }

    private static readonly ConcurrentDictionary<(PackedShape, int), Lazy<WideTile?>> s_tiles = new();

    private readonly delegate* unmanaged<Arguments*, void> _code;

    /// <param name="code">The address of a function that takes a pointer to <see cref="Arguments"/>.</param>
    internal WideTile(nint code) => _code = (delegate* unmanaged<Arguments*, void>)code;

    /// <summary>True if such code runs here.</summary>
    public static bool IsInUse => For(new PackedShape(CodeBits: 4, IsTable: false, NumberBytes: 2, Parts: 1, HasOffsets: false, HasZeroPoints: false), 1) is not null;

    /// <summary>The code for a layout and a number of tokens, or null where it cannot run.</summary>
    public static WideTile? For(PackedShape shape, int tokens) =>
        s_tiles.GetOrAdd((shape, tokens), static key => new Lazy<WideTile?>(() => Load(key.Item1, key.Item2))).Value;

    public void Multiply(ref Arguments arguments)
    {
        fixed (Arguments* a = &arguments) _code(a);
    }

    private static WideTile? Load(PackedShape shape, int tokens)
    {
        if (!Avx512Vnni.IsSupported) return null;
        nint code = ExecutableMemory.Load(WideTileCode.Assemble(shape, tokens, OperatingSystem.IsWindows()));
        return code == 0 ? null : new WideTile(code);
    }
}
