using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Nibble.Core.Formats;

/// <summary>
/// Codes of 1 to 8 bits in a dense run: code i holds bits i*width to (i+1)*width - 1, bit 0 being the least of byte 0.
/// Codes cross bytes where the width does not divide 8. Eight codes are always a whole number of bytes.
/// </summary>
public static class BitPacking
{
    /// <summary>Bytes that hold this many codes; the last byte is filled up with zeros.</summary>
    public static int Bytes(int codes, int width) => checked((int)(((long)codes * width + 7) / 8));

    /// <summary>The code at a place; here a width may go to 16.</summary>
    public static int Read(ReadOnlySpan<byte> packed, int at, int width)
    {
        int bit = (int)((long)at * width & 7), first = (int)((long)at * width >> 3);
        int bits = packed[first];
        if (bit + width > 8) bits |= packed[first + 1] << 8;
        if (bit + width > 16) bits |= packed[first + 2] << 16;
        return (bits >> bit) & ((1 << width) - 1);
    }

    /// <summary>Stores a code at a place and leaves its neighbours as they are; here too a width may go to 16.</summary>
    public static void Write(Span<byte> packed, int at, int width, int code)
    {
        int bit = (int)((long)at * width & 7), first = (int)((long)at * width >> 3);
        int mask = ((1 << width) - 1) << bit, value = code << bit;
        packed[first] = (byte)((packed[first] & ~mask) | value);
        if (bit + width > 8) packed[first + 1] = (byte)((packed[first + 1] & ~(mask >> 8)) | (value >> 8));
        if (bit + width > 16) packed[first + 2] = (byte)((packed[first + 2] & ~(mask >> 16)) | (value >> 16));
    }

    /// <summary>Packs codes that lie one a byte, each below 2^width.</summary>
    public static void Pack(ReadOnlySpan<byte> codes, int width, Span<byte> packed)
    {
        if (width == 8)
        {
            codes.CopyTo(packed);
            return;
        }
        int i = 0, at = 0;
        for (; i + 8 <= codes.Length; i += 8, at += width)
        {
            ulong run = Gather(BinaryPrimitives.ReadUInt64LittleEndian(codes[i..]), width);
            if (at + 8 <= packed.Length) BinaryPrimitives.WriteUInt64LittleEndian(packed[at..], run);
            else for (int b = 0; b < width; b++) packed[at + b] = (byte)(run >> (8 * b));
        }
        if (i == codes.Length) return;
        packed[at..Bytes(codes.Length, width)].Clear();
        for (; i < codes.Length; i++) Write(packed, i, width, codes[i]);
    }

    /// <summary>The inverse of <see cref="Pack"/>.</summary>
    public static void Unpack(ReadOnlySpan<byte> packed, int width, Span<byte> codes)
    {
        if (width == 8)
        {
            packed[..codes.Length].CopyTo(codes);
            return;
        }
        int i = width == 4 ? UnpackNibbles(packed, codes) : 0;
        int at = i / 8 * width;
        for (; i + 8 <= codes.Length; i += 8, at += width)
        {
            ulong run = 0;
            if (at + 8 <= packed.Length) run = BinaryPrimitives.ReadUInt64LittleEndian(packed[at..]);
            else for (int b = 0; b < width; b++) run |= (ulong)packed[at + b] << (8 * b);
            BinaryPrimitives.WriteUInt64LittleEndian(codes[i..], Scatter(run, width));
        }
        for (; i < codes.Length; i++) codes[i] = (byte)Read(packed, i, width);
    }

    /// <summary>32 codes of 3 to 6 bits: no byte but those that hold them is read.</summary>
    internal static unsafe void Unpack32(byte* packed, int width, byte* codes)
    {
        int above = 64 - 8 * width;
        *(ulong*)codes = Scatter(*(ulong*)packed, width);
        *(ulong*)(codes + 8) = Scatter(*(ulong*)(packed + width), width);
        *(ulong*)(codes + 16) = Scatter(*(ulong*)(packed + 3 * width - 8) >>> above, width);
        *(ulong*)(codes + 24) = Scatter(*(ulong*)(packed + 4 * width - 8) >>> above, width);
    }

    /// <summary>The low bits of eight bytes, side by side.</summary>
    private static ulong Gather(ulong bytes, int width)
    {
        ulong mask = 0x0101010101010101ul * ((1ul << width) - 1);
        if (Bmi2.X64.IsSupported) return Bmi2.X64.ParallelBitExtract(bytes, mask);
        ulong run = 0;
        for (int i = 0; i < 8; i++) run |= ((bytes >> (8 * i)) & 0xFF) << (i * width);
        return run;
    }

    private static ulong Scatter(ulong run, int width)
    {
        ulong one = (1ul << width) - 1;
        if (Bmi2.X64.IsSupported) return Bmi2.X64.ParallelBitDeposit(run, 0x0101010101010101ul * one);
        ulong bytes = 0;
        for (int i = 0; i < 8; i++) bytes |= ((run >> (i * width)) & one) << (8 * i);
        return bytes;
    }

    /// <summary>Sixteen bytes to thirty-two codes at a time; returns how many codes were unpacked.</summary>
    private static int UnpackNibbles(ReadOnlySpan<byte> packed, Span<byte> codes)
    {
        int whole = codes.Length & ~31;
        ref byte from = ref MemoryMarshal.GetReference(packed[..(whole / 2)]);
        ref byte to = ref MemoryMarshal.GetReference(codes[..whole]);
        for (int i = 0; i < whole; i += 32)
        {
            (Vector128<byte> first, Vector128<byte> second) = SplitNibbles(Vector128.LoadUnsafe(ref from, (nuint)(i / 2)));
            first.StoreUnsafe(ref to, (nuint)i);
            second.StoreUnsafe(ref to, (nuint)i + 16);
        }
        return whole;
    }

    /// <summary>The 32 codes of 16 bytes in their order: byte j holds code 2j in its low half and code 2j + 1 in its high half.</summary>
    internal static (Vector128<byte> First, Vector128<byte> Second) SplitNibbles(Vector128<byte> packed)
    {
        Vector128<byte> low = packed & Vector128.Create((byte)15);
        Vector128<byte> high = (packed.AsUInt16() >>> 4).AsByte() & Vector128.Create((byte)15);
        if (Sse2.IsSupported) return (Sse2.UnpackLow(low, high), Sse2.UnpackHigh(low, high));
        // Lane j of the zipped halves, widened to 16 bits: low | high << 8.
        (Vector128<ushort> lowA, Vector128<ushort> lowB) = Vector128.Widen(low);
        (Vector128<ushort> highA, Vector128<ushort> highB) = Vector128.Widen(high);
        return ((lowA | (highA << 8)).AsByte(), (lowB | (highB << 8)).AsByte());
    }
}
