using System.Collections.Concurrent;

namespace Nibble.Core.Kernels.Generated;

/// <summary>
/// The product of a tile of <see cref="FloatTiles"/> (32 rows) with one to eight tokens in bfloat16, but for the numbers that are
/// listed by themselves. Generated at run time for each number of tokens.
/// </summary>
/// <remarks>
/// Two columns of 32 rows are 96 bytes, eight operations to make numbers of them, and two products a token: with one token 10 operations,
/// of which the processor begins two a cycle at 512 bits, so 19 bytes a cycle, more than twice what memory brings.
/// </remarks>
public sealed unsafe class FloatTile
{
    /// <summary>What the generated code is told. Its fields are read by their offsets.</summary>
    public struct Arguments
    {
        /// <summary>The tile, its table first.</summary>
        public byte* Tile;

        /// <summary>[lines, tokens, 32 columns], bfloat16.</summary>
        public ushort* Inputs;

        /// <summary>[tokens, 32 rows], overwritten.</summary>
        public float* Sums;

        /// <summary>Lines of 32 columns, at least 1.</summary>
        public nint Lines;
    }

    private static readonly ConcurrentDictionary<int, Lazy<FloatTile?>> s_tiles = new();

    private readonly delegate* unmanaged<Arguments*, void> _code;

    /// <param name="code">The address of a function that takes a pointer to <see cref="Arguments"/>.</param>
    internal FloatTile(nint code) => _code = (delegate* unmanaged<Arguments*, void>)code;

    /// <summary>The code for so many tokens, up to <see cref="PairRows.MostTokens"/>, or null where it cannot run.</summary>
    public static FloatTile? For(int tokens) => s_tiles.GetOrAdd(tokens, static key => new Lazy<FloatTile?>(() => Load(key))).Value;

    public void Multiply(ref Arguments arguments)
    {
        fixed (Arguments* a = &arguments) _code(a);
    }

    private static FloatTile? Load(int tokens)
    {
        if (!Avx512BFloat16.IsSupported) return null;
        nint code = ExecutableMemory.Load(FloatTileCode.Assemble(tokens, OperatingSystem.IsWindows()));
        return code == 0 ? null : new FloatTile(code);
    }
}
