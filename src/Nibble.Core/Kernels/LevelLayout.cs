using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Nibble.Core.Kernels;

/// <summary>How AVX2 reads the codes of a <see cref="LevelMatrix"/> and looks them up.</summary>
internal unsafe interface ILevels
{
    /// <summary>Bytes of the codes of two rows in a stretch.</summary>
    static virtual int PairBytes => 2 * LevelMatrix.Stretch;

    /// <summary>Bytes of a table: two digits.</summary>
    static virtual int TableBytes => 256;

    /// <summary>The codes of the first row of two, of what was loaded.</summary>
    static virtual Vector256<byte> First(Vector256<byte> codes) => codes;

    /// <summary>The codes of the second row: of what was loaded for the first, or at a place of their own.</summary>
    static virtual Vector256<byte> Second(Vector256<byte> codes, byte* own) => Vector256.Load(own);

    /// <summary>The inputs with the signs of the codes. Code 0 has level 0, so that its input may become 0.</summary>
    static virtual Vector256<sbyte> Sign(Vector256<sbyte> x, Vector256<byte> codes) => Avx2.Sign(x, codes.AsSByte());

    /// <summary>A digit of each code.</summary>
    static abstract Vector256<byte> LookUp(byte* digits, Vector256<byte> codes);
}

/// <summary>Codes of half a byte, whose levels have signs.</summary>
internal unsafe struct Levels16 : ILevels
{
    public static int PairBytes => LevelMatrix.Stretch;
    public static int TableBytes => 128;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> First(Vector256<byte> codes) => codes & Vector256.Create((byte)15);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Second(Vector256<byte> codes, byte* own) => (codes.AsUInt16() >>> 4).AsByte() & Vector256.Create((byte)15);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<sbyte> Sign(Vector256<sbyte> x, Vector256<byte> codes) => x;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> LookUp(byte* digits, Vector256<byte> codes) => Avx2.Shuffle(Avx2.BroadcastVector128ToVector256(digits), codes);
}

/// <summary>A sign and one of 16 magnitudes.</summary>
internal unsafe struct Magnitudes16 : ILevels
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> LookUp(byte* digits, Vector256<byte> codes) => Levels16.LookUp(digits, codes & Vector256.Create((byte)127));
}

/// <summary>A sign and one of 32 magnitudes: bit 4 chooses of two look-ups.</summary>
internal unsafe struct Magnitudes32 : ILevels
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> LookUp(byte* digits, Vector256<byte> codes) =>
        Choose(Magnitudes16.LookUp(digits, codes), Magnitudes16.LookUp(digits + 16, codes), codes, 3);

    /// <summary>For each byte the second where a bit is set that, shifted up so far, is the top one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Choose(Vector256<byte> first, Vector256<byte> second, Vector256<byte> codes, int shift) =>
        Avx2.BlendVariable(first, second, (codes.AsUInt16() << shift).AsByte());
}

/// <summary>A sign and one of 64 magnitudes.</summary>
internal unsafe struct Magnitudes64 : ILevels
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> LookUp(byte* digits, Vector256<byte> codes) =>
        Magnitudes32.Choose(Magnitudes32.LookUp(digits, codes), Magnitudes32.LookUp(digits + 32, codes), codes, 2);
}

/// <summary>A sign and one of 128 magnitudes.</summary>
internal unsafe struct Magnitudes128 : ILevels
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> LookUp(byte* digits, Vector256<byte> codes) =>
        Magnitudes32.Choose(Magnitudes64.LookUp(digits, codes), Magnitudes64.LookUp(digits + 64, codes), codes, 1);
}
