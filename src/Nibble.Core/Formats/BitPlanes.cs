using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>
/// Codes of 1, 2 or 4 bits as ggml packs them: n bytes hold 8 / bits planes of n codes, so that byte i holds codes i,
/// i + n, i + 2n, ... from its lowest bits up. Unpacking is then one shift and mask of whole vectors.
/// </summary>
internal static class BitPlanes
{
    /// <summary>Writes the codes, shifted left.</summary>
    /// <param name="bytes">A multiple of 16 bytes.</param>
    /// <param name="bits">Bits a code in these bytes: 1, 2 or 4.</param>
    /// <param name="codes">bytes.Length * 8 / bits codes.</param>
    /// <param name="shift">Where in a code the bits belong.</param>
    public static void Unpack(ReadOnlySpan<byte> bytes, int bits, Span<sbyte> codes, int shift = 0) =>
        Unpack(bytes, bits, codes[..(bytes.Length * 8 / bits)], shift, more: false);

    /// <summary>As <see cref="Unpack(ReadOnlySpan{byte}, int, Span{sbyte}, int)"/>, adding bits to those already in the codes.</summary>
    public static void UnpackMore(ReadOnlySpan<byte> bytes, int bits, Span<sbyte> codes, int shift) => Unpack(bytes, bits, codes, shift, more: true);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Unpack(ReadOnlySpan<byte> bytes, int bits, Span<sbyte> codes, int shift, bool more)
    {
        Span<byte> target = MemoryMarshal.AsBytes(codes);
        Vector128<byte> mask = Vector128.Create((byte)((1 << bits) - 1));
        int n = bytes.Length;
        for (int i = 0; i < n; i += 16)
        {
            Vector128<byte> packed = Vector128.Create(bytes.Slice(i, 16));
            for (int at = i; at < target.Length; at += n, packed >>>= bits)
            {
                Span<byte> place = target.Slice(at, 16);
                Vector128<byte> own = (packed & mask) << shift;
                (more ? own | Vector128.Create<byte>(place) : own).CopyTo(place);
            }
        }
    }

    /// <summary>The inverse: takes <paramref name="bits"/> bits of every code, from bit <paramref name="shift"/> up.</summary>
    public static void Pack(ReadOnlySpan<sbyte> codes, int bits, Span<byte> bytes, int shift = 0)
    {
        ReadOnlySpan<byte> source = MemoryMarshal.AsBytes(codes);
        Vector128<byte> mask = Vector128.Create((byte)((1 << bits) - 1));
        int n = bytes.Length;
        for (int i = 0; i < n; i += 16)
        {
            Vector128<byte> packed = default;
            int place = 0;
            for (int at = i; at < source.Length; at += n, place += bits)
                packed |= ((Vector128.Create(source.Slice(at, 16)) >>> shift) & mask) << place;
            packed.CopyTo(bytes[i..]);
        }
    }

    /// <summary>The code at a place, of bytes that hold <paramref name="bits"/> bits of it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Get(ReadOnlySpan<byte> bytes, int bits, int at) =>
        (bytes[at % bytes.Length] >> (at / bytes.Length * bits)) & ((1 << bits) - 1);

    /// <summary>Stores the low <paramref name="bits"/> bits of a code at a place.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Set(Span<byte> bytes, int bits, int at, int code)
    {
        int shift = at / bytes.Length * bits, mask = (1 << bits) - 1;
        ref byte place = ref bytes[at % bytes.Length];
        place = (byte)((place & ~(mask << shift)) | ((code & mask) << shift));
    }
}
