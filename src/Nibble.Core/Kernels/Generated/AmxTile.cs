using System.Collections.Concurrent;

namespace Nibble.Core.Kernels.Generated;

/// <summary>
/// The product of a tile (16 rows) with 16 tokens by matrix registers, from codes that are unpacked to signed bytes; generated at run
/// time. It computes what <see cref="PackedKernel"/> computes.
/// </summary>
/// <remarks>
/// A packed step, four columns of 16 rows, is just what <c>tdpbssd</c> wants of a row of its second factor; of the first, the inputs, a row is
/// a token. These lie together, for rows of a power of two of bytes would share few sets of the cache. So a chunk of 32 columns is one instruction for 16 rows and tokens, 8,192 products in 16 cycles, where
/// <see cref="WideTile"/> has 128 instructions. Its sums go to memory and come back as vectors, 3 operations a token for their scales: these
/// decide, at 24 cycles of two ports a chunk.
/// </remarks>
public sealed unsafe class AmxTile
{
    /// <summary>Tokens that are met at once.</summary>
    public const int Tokens = Amx.Rows;

    /// <summary>Bytes of the ring of unscaled sums.</summary>
    public const int RingBytes = 4096;

    /// <summary>What the generated code is told. Its fields are read by their offsets.</summary>
    public struct Arguments
    {
        /// <summary>[chunks, 8 steps, 16 rows, 4 columns], levels.</summary>
        public sbyte* Weights;

        /// <summary>[chunks, scales and offsets, parts, 16 rows].</summary>
        public float* Numbers;

        /// <summary>Chunks, at least 1.</summary>
        public nint Chunks;

        /// <summary>[chunks, 16 tokens, 32 columns].</summary>
        public sbyte* X;

        /// <summary>[chunks, parts, <see cref="InputNumbers.Kinds"/>, 16 tokens].</summary>
        public float* Inputs;

        /// <summary>[16 tokens, 16 rows], added to.</summary>
        public float* Sums;

        /// <summary><see cref="RingBytes"/> bytes, at a multiple of twice as many.</summary>
        public byte* Ring;

        /// <summary>Not null in a thread's first call: how the registers are used, of <see cref="Amx.ConfigurationBytes"/> bytes.</summary>
        public byte* Configuration;

        /// <summary>Not 0 in a thread's last call: the registers are let go of.</summary>
        public nint Last;
    }

    private static readonly ConcurrentDictionary<(int, bool), Lazy<AmxTile?>> s_tiles = new();

    private readonly delegate* unmanaged<Arguments*, void> _code;

    /// <param name="code">The address of a function that takes a pointer to <see cref="Arguments"/>.</param>
    internal AmxTile(nint code) => _code = (delegate* unmanaged<Arguments*, void>)code;

    /// <summary>True if such code runs here.</summary>
    public static bool IsInUse => For(1, false) is not null;

    /// <summary>The code for chunks of one or two parts with offsets or without, or null where it cannot run.</summary>
    public static AmxTile? For(int parts, bool hasOffsets) =>
        s_tiles.GetOrAdd((parts, hasOffsets), static key => new Lazy<AmxTile?>(() => Load(key.Item1, key.Item2))).Value;

    public void Multiply(ref Arguments arguments)
    {
        fixed (Arguments* a = &arguments) _code(a);
    }

    /// <summary>Writes how the registers are used: four of sums, two of inputs, two of weights.</summary>
    /// <param name="target"><see cref="Amx.ConfigurationBytes"/> bytes.</param>
    public static void Configure(int parts, byte* target)
    {
        int columns = Activation.Chunk / parts;
        (int, int) sums = (Amx.Rows, Amx.RowBytes), inputs = (Amx.Rows, columns), weights = (columns / 4, Amx.RowBytes);
        Amx.Configure(target, sums, sums, sums, sums, inputs, inputs, weights, weights);
    }

    private static AmxTile? Load(int parts, bool hasOffsets)
    {
        if (!Amx.HasInt8) return null;
        nint code = ExecutableMemory.Load(AmxTileCode.Assemble(parts, hasOffsets));
        return code == 0 ? null : new AmxTile(code);
    }
}
