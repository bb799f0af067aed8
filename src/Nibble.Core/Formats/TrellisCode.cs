using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Nibble.Core.Kernels.Generated;

namespace Nibble.Core.Formats;

/// <summary>
/// What the bits of a sequence of weights mean: a tail-biting bitshift trellis with a computed codebook (Tseng et al., QTIP,
/// arXiv:2406.11235). The bits are a ring of k a weight. Weight t is the number that the <see cref="StateBits"/> bits from bit
/// k t on hash to, so neighbours share most of their bits, and what is stored anew for each weight is k of them.
/// </summary>
/// <remarks>
/// The hash is a product whose four bytes, cut to six bits each, are added: close to a Gaussian of deviation
/// <see cref="Deviation"/> that fits a signed byte, at a few instructions for eight weights.
/// </remarks>
internal static class TrellisCode
{
    /// <summary>Weights a ring.</summary>
    public const int Length = 64;

    /// <summary>Bits that a weight is computed from: the trellis has 2^12 states.</summary>
    public const int StateBits = 12;

    public const int States = 1 << StateBits;

    /// <summary>The root mean square of the numbers of all states.</summary>
    public const float Deviation = 36.9f;

    /// <summary>The largest magnitude of a number.</summary>
    public const int Largest = 2 * Sixes;

    private const uint Factor = 0xF3F4745B, Summand = 0xC9920667;
    private const uint SixBits = 0x3F3F3F3F;

    /// <summary>Half the sum of four times six ones.</summary>
    private const int Sixes = 63;

    /// <summary>Bits of half a state.</summary>
    public const int HalfBits = StateBits / 2;

    /// <summary>The number of every state.</summary>
    public static ReadOnlySpan<float> Numbers => s_numbers;

    private static readonly float[] s_numbers = [.. Enumerable.Range(0, States).Select(s => (float)Number((uint)s))];

    /// <summary>Bytes of a ring.</summary>
    public static int Bytes(int bits) => Length / 8 * bits;

    /// <summary>The number that a state stands for, -126 to 126.</summary>
    public static int Number(uint state)
    {
        uint hash = unchecked(state * Factor + Summand) & SixBits;
        return (int)((hash & 0xFF) + ((hash >> 8) & 0xFF) + ((hash >> 16) & 0xFF) + (hash >> 24)) - Largest;
    }

    /// <summary>The four bytes, six bits each, whose sum less <see cref="Largest"/> is the number of a state; a lane each.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> Hash(Vector256<uint> states) => (states * Factor + Vector256.Create(Summand)) & Vector256.Create(SixBits);

    /// <summary>
    /// Tables of 64 bytes from which the hash of a state lo + 64 hi can be put together. First the lowest six bits of lo's entry, times
    /// four; then of lo's entry the 8 bits from bit 6, 14 and 22, then of hi's. An entry's 6 bits from bit 8, 16 and 24 are what counts.
    /// </summary>
    /// <param name="tables">7 tables.</param>
    public static void WriteHalves(Span<byte> tables)
    {
        // Hi's share of the summand: a multiple of 64, such that no hi has all 8 bits from bit 14 on.
        const uint Share = 0x9BD40;
        for (uint half = 0; half < 1 << HalfBits; half++)
        {
            uint low = unchecked(half * Factor + Summand - Share), high = unchecked((half << HalfBits) * Factor + Share);
            tables[(int)half] = (byte)(low << 2);
            for (int part = 1; part <= 3; part++)
            {
                tables[part * 64 + (int)half] = (byte)(low >> (8 * part - 2));
                tables[(part + 3) * 64 + (int)half] = (byte)(high >> (8 * part - 2));
            }
        }
    }

    /// <summary>Stores a path: of each weight's state the low bits, which are its own.</summary>
    public static void Write(ReadOnlySpan<ushort> states, int bits, Span<byte> ring)
    {
        for (int t = 0; t < Length; t++) BitPacking.Write(ring, t, bits, states[t] & ((1 << bits) - 1));
    }

    /// <summary>The numbers of the weights of rings that follow each other.</summary>
    /// <param name="rings">Their bytes.</param>
    /// <param name="bits">Bits a weight.</param>
    /// <param name="numbers"><see cref="Length"/> a ring.</param>
    public static unsafe void Read(ReadOnlySpan<byte> rings, int bits, Span<sbyte> numbers)
    {
        int count = numbers.Length / Length, bytes = Bytes(bits);
        if (TrellisRows.For(bits, 0) is { } wide)
        {
            fixed (byte* from = rings[..(count * bytes)])
            fixed (sbyte* to = numbers)
                wide.Read(from, count, to);
        }
        else
            for (int r = 0; r < count; r++) ReadRing(rings.Slice(r * bytes, bytes), bits, numbers.Slice(r * Length, Length));
    }

    [SkipLocalsInit]
    private static void ReadRing(ReadOnlySpan<byte> ring, int bits, Span<sbyte> numbers)
    {
        // The ring and its beginning once more, so that every window lies in one piece.
        Span<byte> line = stackalloc byte[Length + sizeof(ulong)];
        ring.CopyTo(line);
        ring[..sizeof(ulong)].CopyTo(line[ring.Length..]);
        // Eight weights begin at a whole byte; their windows are within 7 k + 12 bits of it.
        if (Avx2.IsSupported && bits <= 4) ReadVectors(line, bits, numbers);
        else
            for (int t = 0; t < Length; t++)
                numbers[t] = (sbyte)Number((BinaryPrimitives.ReadUInt32LittleEndian(line[(bits * t / 8)..]) >> (bits * t % 8)) & (uint)(States - 1));
    }

    /// <summary>Lanes are weights, eight at a time.</summary>
    private static void ReadVectors(ReadOnlySpan<byte> line, int bits, Span<sbyte> numbers)
    {
        ref byte start = ref MemoryMarshal.GetReference(line);
        var shifts = Vector256.Create(0u, 1, 2, 3, 4, 5, 6, 7) * (uint)bits;
        // The upper four weights are read from the byte, or half byte, that they begin in.
        int upperByte = 4 * bits / 8;
        Vector256<uint> moved = shifts - Vector256.Create(0u, 0, 0, 0, 8, 8, 8, 8) * (uint)upperByte;
        for (int t = 0, at = 0; t < Length; t += 8, at += bits)
        {
            var low = Vector128.Create(Unsafe.ReadUnaligned<uint>(ref Unsafe.Add(ref start, at)));
            var high = Vector128.Create(Unsafe.ReadUnaligned<uint>(ref Unsafe.Add(ref start, at + upperByte)));
            Vector256<uint> states = Avx2.ShiftRightLogicalVariable(Vector256.Create(low, high), moved) & Vector256.Create((uint)(States - 1));
            Vector256<short> pairs = Avx2.MultiplyAddAdjacent(Hash(states).AsByte(), Vector256.Create((sbyte)1));
            Vector256<int> sums = Avx2.MultiplyAddAdjacent(pairs, Vector256.Create((short)1));
            Vector256<int> centred = sums - Vector256.Create(Largest);
            Vector128<short> words = Vector128.Narrow(centred.GetLower(), centred.GetUpper());
            Unsafe.WriteUnaligned(ref Unsafe.As<sbyte, byte>(ref numbers[t]), Vector128.Narrow(words, words).AsUInt64()[0]);
        }
    }
}
