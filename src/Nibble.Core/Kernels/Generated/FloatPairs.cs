namespace Nibble.Core.Kernels.Generated;

/// <summary>Columns of a tile of <see cref="FloatTiles"/> become pairs of bfloat16, but for the numbers that are listed by themselves. Generated at run time.</summary>
/// <remarks>Two columns of 32 rows are 96 bytes, eight operations and two stores.</remarks>
public sealed unsafe class FloatPairs
{
    /// <summary>Pairs of columns that are made at once.</summary>
    public const int Together = 2;

    /// <summary>What the generated code is told. Its fields are read by their offsets.</summary>
    public struct Arguments
    {
        /// <summary>The table of the tile.</summary>
        public byte* Table;

        /// <summary>The first pair of columns in the tile.</summary>
        public byte* Columns;

        /// <summary>[pairs, 32 rows], overwritten.</summary>
        public uint* Pairs;

        /// <summary>Twos of pairs, at least 1.</summary>
        public nint Count;
    }

    private static readonly Lazy<FloatPairs?> s_pairs = new(Load);

    private readonly delegate* unmanaged<Arguments*, void> _code;

    /// <param name="code">The address of a function that takes a pointer to <see cref="Arguments"/>.</param>
    internal FloatPairs(nint code) => _code = (delegate* unmanaged<Arguments*, void>)code;

    /// <summary>The code, or null where it cannot run.</summary>
    public static FloatPairs? Instance => s_pairs.Value;

    public void Make(ref Arguments arguments)
    {
        fixed (Arguments* a = &arguments) _code(a);
    }

    private static FloatPairs? Load()
    {
        if (!Avx512BFloat16.IsSupported) return null;
        nint code = ExecutableMemory.Load(FloatPairsCode.Assemble(OperatingSystem.IsWindows()));
        return code == 0 ? null : new FloatPairs(code);
    }
}
