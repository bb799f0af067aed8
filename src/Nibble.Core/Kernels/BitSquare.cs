using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Nibble.Core.Formats;

namespace Nibble.Core.Kernels;

/// <summary>
/// Exchanges bits between vectors: from bytes whose bits belong to several chunks, as files store them, to the chunks of
/// <see cref="ICodeLayout"/>, whose bytes hold codes of several steps. A step is 64 bytes: 16 rows of four columns.
/// </summary>
internal static unsafe class BitSquare
{
    private const int Step = 64, Steps = Activation.Chunk / 4;

    /// <summary>Half bytes: the lower ones are the codes of the first chunks, the upper ones those of as many others.</summary>
    /// <param name="stored">[chunks, 8 steps].</param>
    /// <param name="chunks">How many have their codes in the lower halves.</param>
    /// <param name="target">The first chunk's codes, as of <see cref="Bits4"/>.</param>
    /// <param name="apart">Bytes from a chunk to the next.</param>
    public static void TurnNibbles(byte* stored, int chunks, byte* target, int apart)
    {
        for (int c = 0; c < chunks; c++, stored += Steps * Step, target += apart)
            for (int i = 0; i < Steps / 2 * Step; i += 32)
            {
                Vector256<byte> first = Vector256.Load(stored + i), second = Vector256.Load(stored + Steps / 2 * Step + i);
                Swap(ref first, ref second, 4);
                first.Store(target + i);
                second.Store(target + chunks * apart + i);
            }
    }

    /// <summary>Quarters of bytes: the lowest are codes of the first chunk, and so on.</summary>
    /// <param name="stored">[8 steps].</param>
    /// <param name="target">Four chunks, as of <see cref="Bits2"/>.</param>
    /// <param name="apart">Bytes from a chunk to the next.</param>
    public static void TurnPairs(byte* stored, byte* target, int apart)
    {
        for (int i = 0; i < 2 * Step; i += 32)
        {
            byte* from = stored + i / Step * 4 * Step + i % Step;
            Vector256<byte> a = Vector256.Load(from), b = Vector256.Load(from + Step);
            Vector256<byte> c = Vector256.Load(from + 2 * Step), d = Vector256.Load(from + 3 * Step);
            TurnFour(ref a, ref b, ref c, ref d, 2);
            a.Store(target + i);
            b.Store(target + apart + i);
            c.Store(target + 2 * apart + i);
            d.Store(target + 3 * apart + i);
        }
    }

    /// <summary>Bits: the lowest are of the first chunk's codes, and so on.</summary>
    /// <param name="stored">[8 steps].</param>
    /// <param name="target">Eight chunks: step s in bit s.</param>
    /// <param name="apart">Bytes from a chunk to the next.</param>
    public static void TurnBits(byte* stored, byte* target, int apart)
    {
        for (int i = 0; i < Step; i += 32)
        {
            byte* from = stored + i;
            Vector256<byte> a = Vector256.Load(from), b = Vector256.Load(from + Step), c = Vector256.Load(from + 2 * Step), d = Vector256.Load(from + 3 * Step);
            from += 4 * Step;
            Vector256<byte> e = Vector256.Load(from), f = Vector256.Load(from + Step), g = Vector256.Load(from + 2 * Step), h = Vector256.Load(from + 3 * Step);
            Swap(ref a, ref e, 4);
            Swap(ref b, ref f, 4);
            Swap(ref c, ref g, 4);
            Swap(ref d, ref h, 4);
            TurnFour(ref a, ref b, ref c, ref d, 1);
            TurnFour(ref e, ref f, ref g, ref h, 1);
            a.Store(target + i);
            b.Store(target + apart + i);
            c.Store(target + 2 * apart + i);
            d.Store(target + 3 * apart + i);
            e.Store(target + 4 * apart + i);
            f.Store(target + 5 * apart + i);
            g.Store(target + 6 * apart + i);
            h.Store(target + 7 * apart + i);
        }
    }

    /// <summary>32 codes of four bits that follow each other: codes i and i + 16 become byte i.</summary>
    public static Vector128<uint> TurnNibbles(Vector128<byte> codes)
    {
        (Vector128<byte> first, Vector128<byte> second) = BitPacking.SplitNibbles(codes);
        return (first | second << 4).AsUInt32();
    }

    /// <summary>Words of 16 codes of two bits that follow each other: code 4 s + k becomes bits 2 s and 2 s + 1 of byte k.</summary>
    public static Vector128<uint> TurnPairs(Vector128<uint> codes) => Exchange(Exchange(codes, 12, 0x0000F0F0), 6, 0x00CC00CC);

    /// <summary>Words of 32 bits: bit 4 s + k becomes bit s of byte k. The bits of its place, s2 s1 s0 k1 k0, are put in the order k1 k0 s2 s1 s0.</summary>
    public static Vector128<uint> TurnBits(Vector128<uint> codes) =>
        Exchange(Exchange(Exchange(Exchange(codes, 12, 0x0000F0F0), 14, 0x0000CCCC), 7, 0x00AA00AA), 1, 0x22222222);

    /// <summary>Some bits of a word and those that lie so far above them change places.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<uint> Exchange(Vector128<uint> words, int apart, uint lower)
    {
        Vector128<uint> different = (words ^ words >>> apart) & Vector128.Create(lower);
        return words ^ different ^ different << apart;
    }

    /// <summary>Four vectors of fields of so many bits: field f of vector v and field v of vector f, of every four fields, change places.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void TurnFour(ref Vector256<byte> a, ref Vector256<byte> b, ref Vector256<byte> c, ref Vector256<byte> d, int bits)
    {
        Swap(ref a, ref c, 2 * bits);
        Swap(ref b, ref d, 2 * bits);
        Swap(ref a, ref b, bits);
        Swap(ref c, ref d, bits);
    }

    /// <summary>Of every two fields the upper ones of the first vector and the lower ones of the second change places.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Swap(ref Vector256<byte> first, ref Vector256<byte> second, int bits)
    {
        var lower = Vector256.Create((byte)(255 / ((1 << bits) + 1)));
        Vector256<byte> upper = ((first.AsUInt16() >>> bits).AsByte() & lower) | (second & ~lower);
        first = (first & lower) | ((second & lower).AsUInt16() << bits).AsByte();
        second = upper;
    }
}
