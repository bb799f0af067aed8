using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>The fifth bits of 32 codes in one word, code 0 in its lowest bit (<see cref="Q5_0"/>, <see cref="Q5_1"/>).</summary>
internal static class FifthBits
{
    public static void UnpackMore(uint high, Span<sbyte> codes)
    {
        // Lane i tests bit i % 8 of byte i / 8.
        Vector128<byte> word = Vector128.Create(high).AsByte();
        var bytes = Vector256.Create(
            Vector128.Shuffle(word, Vector128.Create((byte)0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1)),
            Vector128.Shuffle(word, Vector128.Create((byte)2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3)));
        Vector256<byte> bit = Vector256.Create(0x8040201008040201).AsByte();
        Vector256<sbyte> fifth = (Vector256.Equals(bytes & bit, bit) & Vector256.Create((byte)16)).AsSByte();
        (Vector256.Create<sbyte>(codes[..32]) | fifth).CopyTo(codes);
    }

    public static uint Pack(ReadOnlySpan<sbyte> codes) => (Vector256.Create(codes[..32]) << 3).ExtractMostSignificantBits();

    public static void Set(ref uint high, int at, int code) => high = (high & ~(1u << at)) | ((uint)(code >> 4) << at);
}
