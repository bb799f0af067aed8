using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Nibble.Core.Kernels;

/// <summary>
/// How the codes of a tile's chunk (16 rows by 32 columns) lie in memory. A code is a weight's place in its format's list
/// of levels. Columns are taken four at a time in 8 steps; the 32 bytes of a step for one half of the rows (8 rows) hold
/// lane r = row r, byte k = column 4 * step + k, which is what the dot-product instructions want.
/// </summary>
public unsafe interface ICodeLayout
{
    /// <summary>Bits a code.</summary>
    static abstract int Bits { get; }

    /// <summary>True if the codes are up to 4 bits, so that products of 32 of them can be summed in 16-bit lanes.</summary>
    static virtual bool IsSmall => false;

    /// <summary>True if codes are looked up in a table of levels.</summary>
    static virtual bool IsTable => false;

    /// <summary>The codes of 8 rows and 4 columns, a byte each.</summary>
    /// <param name="chunk">The chunk's codes, 64 * <see cref="Bits"/> bytes.</param>
    /// <param name="half">0 for rows 0 to 7, 1 for rows 8 to 15.</param>
    /// <param name="step">0 to 7.</param>
    /// <param name="table">The level of each code, plus 128, in both 128-bit lanes; only <see cref="Table{TPlaces}"/> reads it.</param>
    static abstract Vector256<byte> Step(byte* chunk, int half, int step, Vector256<byte> table);

    /// <summary>Packs codes given a byte each, step by step (8 steps of 64 bytes).</summary>
    static abstract void Pack(byte* codes, byte* chunk);
}

/// <summary>A byte a code: step s at byte 64 s.</summary>
public unsafe struct Bits8 : ICodeLayout
{
    public static int Bits => 8;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Step(byte* chunk, int half, int step, Vector256<byte> table) => Vector256.Load(chunk + step * 64 + half * 32);

    public static void Pack(byte* codes, byte* chunk) => new ReadOnlySpan<byte>(codes, 512).CopyTo(new Span<byte>(chunk, 512));
}

/// <summary>Half a byte a code: step s in the low half of bytes 64 s and on, step s + 4 in their high half.</summary>
public unsafe struct Bits4 : ICodeLayout
{
    public static int Bits => 4;
    public static bool IsSmall => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Step(byte* chunk, int half, int step, Vector256<byte> table)
    {
        Vector256<byte> pair = Vector256.Load(chunk + (step & 3) * 64 + half * 32);
        return (step < 4 ? pair : (pair.AsUInt16() >>> 4).AsByte()) & Vector256.Create((byte)15);
    }

    public static void Pack(byte* codes, byte* chunk)
    {
        for (int i = 0; i < 256; i += 32)
        {
            Vector256<byte> low = Vector256.Load(codes + i), high = Vector256.Load(codes + i + 256);
            (low | (high.AsUInt16() << 4).AsByte()).Store(chunk + i);
        }
    }
}

/// <summary>As codes of up to 4 bits lie, each then looked up in a table of levels.</summary>
public unsafe struct Table<TPlaces> : ICodeLayout where TPlaces : struct, ICodeLayout
{
    public static int Bits => TPlaces.Bits;
    public static bool IsTable => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Step(byte* chunk, int half, int step, Vector256<byte> table)
    {
        Vector256<byte> codes = TPlaces.Step(chunk, half, step, table);
        return Avx2.IsSupported
            ? Avx2.Shuffle(table, codes)
            : Vector256.Create(Vector128.Shuffle(table.GetLower(), codes.GetLower()), Vector128.Shuffle(table.GetLower(), codes.GetUpper()));
    }

    public static void Pack(byte* codes, byte* chunk) => TPlaces.Pack(codes, chunk);
}

/// <summary>A quarter of a byte a code: step s in bits 2 (s mod 4) of bytes 64 (s / 4) and on.</summary>
public unsafe struct Bits2 : ICodeLayout
{
    public static int Bits => 2;
    public static bool IsSmall => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Step(byte* chunk, int half, int step, Vector256<byte> table)
    {
        Vector256<byte> four = Vector256.Load(chunk + (step >> 2) * 64 + half * 32);
        return (four.AsUInt16() >>> (2 * (step & 3))).AsByte() & Vector256.Create((byte)3);
    }

    public static void Pack(byte* codes, byte* chunk)
    {
        for (int i = 0; i < 128; i += 32)
        {
            byte* at = codes + (i >> 6) * 256 + (i & 63);
            Vector256<ushort> a = Vector256.Load(at).AsUInt16(), b = Vector256.Load(at + 64).AsUInt16();
            Vector256<ushort> c = Vector256.Load(at + 128).AsUInt16(), d = Vector256.Load(at + 192).AsUInt16();
            (a | (b << 2) | (c << 4) | (d << 6)).AsByte().Store(chunk + i);
        }
    }
}

/// <summary>The low four bits as <see cref="Bits4"/>, then the fifth: step s in bit s of 64 bytes.</summary>
public unsafe struct Bits5 : ICodeLayout
{
    public static int Bits => 5;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Step(byte* chunk, int half, int step, Vector256<byte> table)
    {
        Vector256<ushort> fifth = Vector256.Load(chunk + 256 + half * 32).AsUInt16();
        Vector256<ushort> shifted = step < 4 ? fifth << (4 - step) : fifth >>> (step - 4);
        return Bits4.Step(chunk, half, step, table) | (shifted.AsByte() & Vector256.Create((byte)16));
    }

    [SkipLocalsInit]
    public static void Pack(byte* codes, byte* chunk)
    {
        byte* low = stackalloc byte[512];
        for (int i = 0; i < 512; i += 32) (Vector256.Load(codes + i) & Vector256.Create((byte)15)).Store(low + i);
        Bits4.Pack(low, chunk);
        BitPlane.Pack(codes, 4, chunk + 256);
    }
}

/// <summary>The low four bits as <see cref="Bits4"/>, then the high two as <see cref="Bits2"/>.</summary>
public unsafe struct Bits6 : ICodeLayout
{
    public static int Bits => 6;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Step(byte* chunk, int half, int step, Vector256<byte> table)
    {
        Vector256<ushort> high = Vector256.Load(chunk + 256 + (step >> 2) * 64 + half * 32).AsUInt16();
        int from = 2 * (step & 3);
        Vector256<ushort> shifted = from <= 4 ? high << (4 - from) : high >>> (from - 4);
        return Bits4.Step(chunk, half, step, table) | (shifted.AsByte() & Vector256.Create((byte)0x30));
    }

    [SkipLocalsInit]
    public static void Pack(byte* codes, byte* chunk)
    {
        byte* part = stackalloc byte[512];
        for (int i = 0; i < 512; i += 32) (Vector256.Load(codes + i) & Vector256.Create((byte)15)).Store(part + i);
        Bits4.Pack(part, chunk);
        for (int i = 0; i < 512; i += 32)
            ((Vector256.Load(codes + i).AsUInt16() >>> 4).AsByte() & Vector256.Create((byte)3)).Store(part + i);
        Bits2.Pack(part, chunk + 256);
    }
}

/// <summary>The low two bits as <see cref="Bits2"/>, then the third: step s in bit s of 64 bytes.</summary>
public unsafe struct Bits3 : ICodeLayout
{
    public static int Bits => 3;
    public static bool IsSmall => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Step(byte* chunk, int half, int step, Vector256<byte> table)
    {
        Vector256<ushort> third = Vector256.Load(chunk + 128 + half * 32).AsUInt16();
        Vector256<ushort> shifted = step < 2 ? third << (2 - step) : third >>> (step - 2);
        return Bits2.Step(chunk, half, step, table) | (shifted.AsByte() & Vector256.Create((byte)4));
    }

    [SkipLocalsInit]
    public static void Pack(byte* codes, byte* chunk)
    {
        byte* low = stackalloc byte[512];
        for (int i = 0; i < 512; i += 32) (Vector256.Load(codes + i) & Vector256.Create((byte)3)).Store(low + i);
        Bits2.Pack(low, chunk);
        BitPlane.Pack(codes, 2, chunk + 128);
    }
}

/// <summary>One bit of every code: step s in bit s of 64 bytes.</summary>
internal static unsafe class BitPlane
{
    public static void Pack(byte* codes, int bit, byte* plane)
    {
        for (int i = 0; i < 64; i += 32)
        {
            Vector256<ushort> all = Vector256<ushort>.Zero;
            for (int step = 0; step < 8; step++)
            {
                Vector256<ushort> code = Vector256.Load(codes + step * 64 + i).AsUInt16() >>> bit;
                all |= (code & Vector256.Create((ushort)0x0101)) << step;
            }
            all.AsByte().Store(plane + i);
        }
    }
}
