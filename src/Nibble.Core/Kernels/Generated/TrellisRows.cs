using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Nibble.Core.Formats;
using Nibble.Core.Memory;

namespace Nibble.Core.Kernels.Generated;

/// <summary>
/// The product of two trellis-coded rows with one to four tokens at 512 bits, or their numbers: what <see cref="TrellisCode"/> computes by a
/// multiplication of 32 bits for each weight, 64 weights at once by look-ups of bytes; generated at run time because .NET 10 offers
/// neither vpmultishiftqb nor vpdpbusd at 512 bits.
/// </summary>
/// <remarks>
/// A state is lo + 64 hi, so its hash is the sum of an entry of 64 for lo and another for hi, each of four bytes. Of the sum 6 bits of
/// every byte count, which leaves the two below them for carries: byte 0 comes from lo alone, for the other half's low 6 bits are zero;
/// of bytes 1 to 3 the 8 bits from bit 6, 14 and 22 are looked up, added, and a carry goes on from one to the next. The four times six
/// bits are averaged twice, which is their sum over four, as they are four times too large where they lie. The 12 bits themselves are
/// cut out by vpmultishiftqb; vpermb does not mind what stands above six. That is 23 operations for 64 weights, and 3 for each token.
/// </remarks>
internal sealed unsafe class TrellisRows
{
    /// <summary>The most tokens that are met at once.</summary>
    public const int MaxTokens = 4;

    /// <summary>Floats of the sums of a token.</summary>
    public const int SumLanes = 16;

    internal const int Tables = 7;
    private const int Line = 64;

    // The constants that a function reads, a line each.
    internal const int WindowsAt = 0, LowAt = Line, HighAt = 2 * Line, TablesAt = 3 * Line;

    /// <summary>What the generated code is told. Its fields are read by their offsets.</summary>
    public struct Arguments
    {
        /// <summary>The first ring of the first block of the first row.</summary>
        public byte* Rings;

        /// <summary>Bytes from there to the same of the second row; 0 if there is but one.</summary>
        public nint NextRow;

        /// <summary>Blocks of the row, at least 1.</summary>
        public nint Blocks;

        /// <summary>Rings of a block, at least 1.</summary>
        public nint BlockRings;

        /// <summary>Bytes from the last ring of a block to the first of the next.</summary>
        public nint Gap;

        /// <summary>[blocks, 2 rows].</summary>
        public float* BlockScales;

        /// <summary>The inputs: [rings, tokens, 64], groups of four columns of the first 32 and of the others taking turns. If there are no tokens, the first row's numbers go there: [rings, 64].</summary>
        public sbyte* X;

        /// <summary>Where the second row's numbers go if there are no tokens.</summary>
        public sbyte* NextNumbers;

        /// <summary>[rings, tokens, 2], the scales of both chunks.</summary>
        public float* Scales;

        /// <summary>See <see cref="Constants"/>.</summary>
        public byte* Constants;

        /// <summary>[2 rows, tokens, <see cref="SumLanes"/>], added to: they sum up to the product, each number being 126 too large.</summary>
        public float* Sums;
    }

    private static readonly ConcurrentDictionary<(int Bits, int Tokens), Lazy<TrellisRows?>> s_rows = new();

    private readonly delegate* unmanaged<Arguments*, void> _code;
    private readonly NativeBuffer _constants;
    private readonly int _bits;

    /// <param name="code">The address of a function that takes a pointer to <see cref="Arguments"/>.</param>
    /// <param name="bits">Of a weight.</param>
    /// <param name="inOrder">Whether columns are in their order, else those of both chunks take turns.</param>
    internal TrellisRows(nint code, int bits, bool inOrder)
    {
        _code = (delegate* unmanaged<Arguments*, void>)code;
        _bits = bits;
        _constants = Constants(bits, inOrder);
    }

    /// <summary>The code for rings of so many bits a weight and 1 to 4 tokens, or 0 for their numbers; null where it cannot run.</summary>
    public static TrellisRows? For(int bits, int tokens) =>
        s_rows.GetOrAdd((bits, tokens), static key => new Lazy<TrellisRows?>(() => Load(key.Bits, key.Tokens))).Value;

    public void Multiply(ref Arguments arguments)
    {
        arguments.Constants = _constants.Pointer;
        fixed (Arguments* a = &arguments) _code(a);
    }

    /// <summary>The numbers of rings that follow each other.</summary>
    /// <param name="rings">Their bytes.</param>
    /// <param name="count">At least 1.</param>
    /// <param name="numbers">64 a ring.</param>
    public void Read(byte* rings, int count, sbyte* numbers)
    {
        // What goes for two rows here are two halves, which overlap where there is an odd ring.
        int half = (count + 1) / 2, second = count - half;
        long none = 0;
        var arguments = new Arguments
        {
            Rings = rings,
            NextRow = (nint)second * TrellisCode.Bytes(_bits),
            Blocks = 1,
            BlockRings = half,
            BlockScales = (float*)&none,
            X = numbers,
            NextNumbers = numbers + (nint)second * TrellisCode.Length,
        };
        Multiply(ref arguments);
    }

    private static TrellisRows? Load(int bits, int tokens)
    {
        if (!Avx512Vnni.IsSupported || !Avx512Vnni.HasByteLookUps) return null;
        nint code = ExecutableMemory.Load(TrellisRowsCode.Assemble(bits, tokens, OperatingSystem.IsWindows()));
        return code == 0 ? null : new TrellisRows(code, bits, inOrder: tokens == 0);
    }

    /// <summary>Which bytes of a ring go to each lane, how far its states' halves lie in them, then the tables.</summary>
    private static NativeBuffer Constants(int bits, bool inOrder)
    {
        var buffer = new NativeBuffer(TablesAt + Tables * Line);
        for (int i = 0; i < Line; i++)
        {
            // A lane of 32 bits holds four weights: those of one chunk, or of both in turns.
            int lane = i / 4, first = 4 * (inOrder ? lane : lane / 2 + lane % 2 * 8), bit = first * bits;
            buffer.Pointer[WindowsAt + i] = (byte)((bit / 8 + i % 4) % TrellisCode.Bytes(bits));
            int at = i / 4 % 2 * 32 + bit % 8 + i % 4 * bits;
            buffer.Pointer[LowAt + i] = (byte)at;
            buffer.Pointer[HighAt + i] = (byte)(at + TrellisCode.HalfBits);
        }
        TrellisCode.WriteHalves(new Span<byte>(buffer.Pointer + TablesAt, Tables * Line));
        return buffer;
    }
}
