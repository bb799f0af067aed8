using System.Collections.Concurrent;

namespace Nibble.Core.Kernels.Generated;

/// <summary>
/// The product of a tile (16 rows) with one token at 512 bits, generated at run time for each layout of chunks because .NET 10
/// offers vpdpbusd at 256 bits only. It computes what <see cref="PackedKernel"/> computes with <see cref="VnniDot"/>, in the
/// same order, so the results are equal to the bit.
/// </summary>
/// <remarks>
/// All 16 rows of a step are one register: a chunk of Q4_0 is 4 loads, 12 operations for its codes, 8 dot products that take the
/// input from memory, and 4 for its scales: 28 instructions, 24 of them of the two vector ports, for 288 bytes. At 3 GHz that is
/// 72 GB/s of one core, more than its memory gives.
/// </remarks>
public sealed unsafe class WideVector
{
    /// <summary>What the generated code is told. Its fields are read by their offsets.</summary>
    public struct Arguments
    {
        /// <summary>The tile's runs.</summary>
        public byte* Tile;

        /// <summary>Chunks of the tile, at least 1.</summary>
        public nint Chunks;

        /// <summary>The token's codes.</summary>
        public sbyte* X;

        /// <summary>[chunks, parts, <see cref="InputNumbers.Kinds"/>].</summary>
        public float* Inputs;

        /// <summary>16 bytes, the level of each code plus 128; read where codes stand for entries of a table.</summary>
        public byte* Table;

        /// <summary>16 rows, overwritten.</summary>
        public float* Sums;
    }

    private static readonly ConcurrentDictionary<PackedShape, Lazy<WideVector?>> s_vectors = new();

    private readonly delegate* unmanaged<Arguments*, void> _code;

    /// <param name="code">The address of a function that takes a pointer to <see cref="Arguments"/>.</param>
    internal WideVector(nint code) => _code = (delegate* unmanaged<Arguments*, void>)code;

    /// <summary>The code for a layout, or null where it cannot run.</summary>
    public static WideVector? For(PackedShape shape) => s_vectors.GetOrAdd(shape, static s => new Lazy<WideVector?>(() => Load(s))).Value;

    public void Multiply(ref Arguments arguments)
    {
        fixed (Arguments* a = &arguments) _code(a);
    }

    private static WideVector? Load(PackedShape shape)
    {
        if (!Avx512Vnni.IsSupported) return null;
        nint code = ExecutableMemory.Load(WideVectorCode.Assemble(shape, OperatingSystem.IsWindows()));
        return code == 0 ? null : new WideVector(code);
    }
}
