using System.Collections.Concurrent;

namespace Nibble.Core.Kernels.Generated;

/// <summary>
/// The product of tiles (16 rows each) with one to eight tokens at 512 bits, straight from the packed codes; generated at run time for
/// each layout of chunks and number of tokens because .NET 10 offers vpdpbusd at 256 bits only. It computes what
/// <see cref="PackedKernel"/> computes with <see cref="VnniDot"/>, in the same order, so the results are equal to the bit.
/// </summary>
/// <remarks>
/// All 16 rows of a step are one register. A chunk of Q4_0 is 12 operations and 4 loads for its codes, and for each token 8 dot
/// products that take the input from memory and 3 operations for its scales: with one token 24 operations of the two vector
/// ports for 288 bytes, 72 GB/s of a core at 3 GHz, more than its memory gives; with eight the products are 64 of 101. Each of
/// these is a load as well, so where loads have no more places than products two tiles are taken together, which share them; and
/// a load across two lines takes two places, so codes are loaded once, though their bits belong to several steps.
/// </remarks>
public sealed unsafe class WideTile
{
    /// <summary>What the generated code is told. Its fields are read by their offsets.</summary>
    public struct Arguments
    {
        /// <summary>The runs of the first tile; those of the others follow.</summary>
        public byte* Tile;

        /// <summary>Tiles, a multiple of those that are taken together and not 0.</summary>
        public nint Tiles;

        /// <summary>Bytes from a tile to the next, where two are taken together.</summary>
        public nint Apart;

        /// <summary>What will be read later, and is asked for meanwhile where two tiles are taken together: <see cref="NextBytes"/> with each of their chunks.</summary>
        public byte* Next;

        /// <summary>How far <see cref="Next"/> moves on with each chunk: <see cref="NextBytes"/>, or 0 if it lies in the caches already.</summary>
        public nint NextStep;

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

        /// <summary>[tokens, tiles, 16 rows], overwritten.</summary>
        public float* Sums;

        /// <summary>Bytes from a token's sums to the next one's.</summary>
        public nint SumStride;
    }

    /// <summary>Bytes that are asked for with a chunk.</summary>
    public const int NextBytes = 256;

    private static readonly ConcurrentDictionary<(PackedShape, int, int), Lazy<WideTile?>> s_tiles = new();

    private readonly delegate* unmanaged<Arguments*, void> _code;

    /// <param name="code">The address of a function that takes a pointer to <see cref="Arguments"/>.</param>
    internal WideTile(nint code) => _code = (delegate* unmanaged<Arguments*, void>)code;

    /// <summary>True if such code runs here.</summary>
    public static bool IsInUse => For(new PackedShape(CodeBits: 4, IsTable: false, Numbers: ScaleNumbers.Halves, Parts: 1, HasOffsets: false, HasZeroPoints: false), 1, 1) is not null;

    /// <summary>The code for a layout and a number of tokens and of tiles that are taken together, or null where it cannot run.</summary>
    public static WideTile? For(PackedShape shape, int tokens, int tiles) =>
        s_tiles.GetOrAdd((shape, tokens, tiles), static key => new Lazy<WideTile?>(() => Load(key.Item1, key.Item2, key.Item3))).Value;

    public void Multiply(ref Arguments arguments)
    {
        fixed (Arguments* a = &arguments) _code(a);
    }

    private static WideTile? Load(PackedShape shape, int tokens, int tiles)
    {
        if (!Avx512Vnni.IsSupported) return null;
        nint code = ExecutableMemory.Load(WideTileCode.Assemble(shape, tokens, tiles, OperatingSystem.IsWindows()));
        return code == 0 ? null : new WideTile(code);
    }
}
