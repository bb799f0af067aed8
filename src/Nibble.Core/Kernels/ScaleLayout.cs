using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Nibble.Core.Kernels;

/// <summary>What scales and offsets of a chunk are stored as.</summary>
public enum ScaleNumbers
{
    /// <summary><see cref="Single32"/>.</summary>
    Singles,

    /// <summary><see cref="Half16"/>.</summary>
    Halves,

    /// <summary><see cref="UnitByte"/>.</summary>
    Multiples,

    /// <summary><see cref="UnitNibble"/>.</summary>
    HalfByteMultiples,

    /// <summary><see cref="UnitOne"/>.</summary>
    Units,

    /// <summary><see cref="Exponent8"/>.</summary>
    Exponents,

    /// <summary><see cref="HalfUpper8"/>.</summary>
    HalfUppers,
}

/// <summary>How one scale or offset is stored.</summary>
public unsafe interface IScaleNumber
{
    /// <summary>Which of them it is.</summary>
    static abstract ScaleNumbers Kind { get; }

    /// <summary>Bytes.</summary>
    static abstract int Size { get; }

    /// <summary>Eight of them as floats.</summary>
    static abstract Vector256<float> Load(byte* numbers);

    /// <summary>Eight that are exact in this form.</summary>
    static abstract void Store(Vector256<float> numbers, byte* at);
}

/// <summary>IEEE half precision.</summary>
public unsafe struct Half16 : IScaleNumber
{
    public static ScaleNumbers Kind => ScaleNumbers.Halves;
    public static int Size => 2;

    /// <summary>
    /// Half to single by shifting the bits into place and rescaling the exponent: exact for all finite values. The word is
    /// sign-extended first, so one mask keeps the sign bit and drops its copies.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(byte* numbers) => ToSingle(Vector128.Load((short*)numbers));

    /// <summary>Of eight lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> ToSingle(Vector128<short> halves)
    {
        Vector256<int> bits = Vector256.WidenLower(halves.ToVector256Unsafe()) << 13;
        return (bits & Vector256.Create(unchecked((int)0x8FFFE000))).AsSingle() * Vector256.Create(5.192296858534828e33f);
    }

    /// <summary>Infinite ones and those that are no numbers too, which <see cref="Load"/> takes for numbers from 65,536 up.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> LoadAny(byte* numbers)
    {
        Vector256<float> finite = Load(numbers);
        return finite | (Vector256.GreaterThanOrEqual(Vector256.Abs(finite), Vector256.Create(65536f)) & Vector256.Create(float.PositiveInfinity));
    }

    /// <summary>The inverse: the exponent is rescaled, and the bits are shifted to their place.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector256<float> numbers, byte* at)
    {
        Vector256<int> halves = ToHalves(numbers);
        Vector128.Narrow(halves.AsUInt32().GetLower(), halves.AsUInt32().GetUpper()).Store((ushort*)at);
    }

    /// <summary>Of eight lanes, which are exact in this form.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> ToHalves(Vector256<float> numbers)
    {
        Vector256<int> bits = (numbers * Vector256.Create(1.925929944387236e-34f)).AsInt32();
        return ((bits >> 13) & Vector256.Create(0x7FFF)) | ((bits >> 16) & Vector256.Create(0x8000));
    }

    /// <summary>Two halves a lane: the lower ones, and the upper ones, as <see cref="Load"/> makes floats of them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static (Vector256<float> Lower, Vector256<float> Upper) OfPairs(Vector256<int> pairs)
    {
        var mask = Vector256.Create(unchecked((int)0x8FFFE000));
        var rescale = Vector256.Create(5.192296858534828e33f);
        return ((((pairs << 16) >> 3) & mask).AsSingle() * rescale, ((pairs >> 3) & mask).AsSingle() * rescale);
    }
}

/// <summary>A signed byte: a multiple of the unit that 256 columns share.</summary>
public unsafe struct UnitByte : IScaleNumber
{
    public static ScaleNumbers Kind => ScaleNumbers.Multiples;
    public static int Size => 1;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(byte* numbers)
    {
        if (Avx2.IsSupported) return Vector256.ConvertToSingle(Avx2.ConvertToVector256Int32((sbyte*)numbers));
        Vector128<short> words = Vector128.WidenLower(Vector128.CreateScalar(*(long*)numbers).AsSByte());
        return Vector256.ConvertToSingle(Vector256.Create(Vector128.WidenLower(words), Vector128.WidenUpper(words)));
    }

    /// <summary>Eight of them, each twice: 16-bit factors for pairs of 16-bit lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<short> LoadPairs(byte* numbers)
    {
        // Each byte to the upper half of two 16-bit lanes, then down again with its sign.
        Vector256<byte> all = Vector256.Create(*(long*)numbers).AsByte();
        Vector256<byte> upper = Avx2.Shuffle(all, Vector256.Create(
            (byte)128, 0, 128, 0, 128, 1, 128, 1, 128, 2, 128, 2, 128, 3, 128, 3, 128, 4, 128, 4, 128, 5, 128, 5, 128, 6, 128, 6, 128, 7, 128, 7));
        return upper.AsInt16() >> 8;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector256<float> numbers, byte* at) => EightBytes.Store(Vector256.ConvertToInt32(Vector256.Round(numbers)), at);
}

/// <summary>
/// Half a byte: a multiple of the unit that 256 columns share, 0 to 15. The offset that belongs to a scale is the upper half of
/// its byte.
/// </summary>
public unsafe struct UnitNibble : IScaleNumber
{
    public static ScaleNumbers Kind => ScaleNumbers.HalfByteMultiples;
    public static int Size => 1;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(byte* numbers) => Vector256.ConvertToSingle(EightBytes.Load(numbers) & Vector256.Create(15));

    /// <summary>Eight offsets.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> LoadOffsets(byte* numbers) => Vector256.ConvertToSingle(EightBytes.Load(numbers) >>> 4);

    /// <summary>Eight scales, each twice: 16-bit factors for pairs of 16-bit lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<short> LoadPairs(byte* numbers) => UnitByte.LoadPairs(numbers) & Vector256.Create((short)15);

    /// <summary>Eight scales, the offsets beside them being 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector256<float> numbers, byte* at) => UnitByte.Store(numbers, at);

    /// <summary>Eight offsets, beside scales that are stored already.</summary>
    public static void StoreOffsets(Vector256<float> numbers, byte* at)
    {
        long scales = *(long*)at;
        UnitByte.Store(numbers * 16, at);
        *(long*)at |= scales;
    }
}

/// <summary>Eight bytes in memory, as integers in lanes.</summary>
internal static unsafe class EightBytes
{
    /// <summary>Of bytes without a sign.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Load(byte* numbers)
    {
        if (Avx2.IsSupported) return Avx2.ConvertToVector256Int32(numbers);
        Vector128<ushort> words = Vector128.WidenLower(Vector128.CreateScalar(*(long*)numbers).AsByte());
        return Vector256.Create(Vector128.WidenLower(words), Vector128.WidenUpper(words)).AsInt32();
    }

    /// <summary>The lowest byte of each.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector256<int> numbers, byte* at)
    {
        Vector128<short> words = Vector128.Narrow(numbers.GetLower(), numbers.GetUpper());
        *(long*)at = Vector128.Narrow(words, words).AsInt64()[0];
    }
}

/// <summary>Nothing: the scale is the unit that 256 columns share.</summary>
public unsafe struct UnitOne : IScaleNumber
{
    public static ScaleNumbers Kind => ScaleNumbers.Units;
    public static int Size => 0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(byte* numbers) => Vector256<float>.One;

    public static void Store(Vector256<float> numbers, byte* at) { }
}

/// <summary>A power of two by its exponent, as the upper bits of a single have it; 0, and what is below 2^-126, is 0.</summary>
public unsafe struct Exponent8 : IScaleNumber
{
    /// <summary>Bits of a single below its exponent.</summary>
    internal const int MantissaBits = 23;

    public static ScaleNumbers Kind => ScaleNumbers.Exponents;
    public static int Size => 1;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(byte* numbers) => (EightBytes.Load(numbers) << MantissaBits).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector256<float> numbers, byte* at) => EightBytes.Store(numbers.AsInt32() >>> MantissaBits, at);
}

/// <summary>
/// The upper bits of a half without its sign: a 4-bit exponent with 3 bits behind it, which are E4M3's, whose numbers are 2^8 times as large.
/// </summary>
public unsafe struct HalfUpper8 : IScaleNumber
{
    /// <summary>Bits of a half below those that are stored.</summary>
    internal const int Shift = 7;

    public static ScaleNumbers Kind => ScaleNumbers.HalfUppers;
    public static int Size => 1;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(byte* numbers) =>
        Half16.ToSingle(Vector128.WidenLower(Vector128.CreateScalar(*(long*)numbers).AsByte()).AsInt16() << Shift);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector256<float> numbers, byte* at) => EightBytes.Store(Half16.ToHalves(numbers) >>> Shift, at);
}

/// <summary>IEEE single precision.</summary>
public unsafe struct Single32 : IScaleNumber
{
    public static ScaleNumbers Kind => ScaleNumbers.Singles;
    public static int Size => 4;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(byte* numbers) => Vector256.Load((float*)numbers);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector256<float> numbers, byte* at) => numbers.Store((float*)at);
}

/// <summary>
/// Which scales a tile's chunk has, ahead of its codes: for each part of its 32 columns 16 scales, one a row, then 16
/// offsets if the format has them. Where these are <see cref="UnitByte"/>s, <see cref="UnitNibble"/>s or <see cref="UnitOne"/>s, eight chunks are a run,
/// and their units stand ahead of it: 16 for the scales, then 16 for the offsets, in half precision. Zero points stand in the
/// offsets' place, a signed byte each: the offset is minus the scale times that.
/// </summary>
public interface IScaleShape
{
    /// <summary>1 if the 32 columns share a scale, 2 if only 16 do.</summary>
    static abstract int Parts { get; }

    static abstract bool HasOffsets { get; }

    /// <summary>True if the offsets are stored as zero points.</summary>
    static virtual bool HasZeroPoints => false;
}

/// <summary>One scale a row.</summary>
public struct ScaleOf32 : IScaleShape
{
    public static int Parts => 1;
    public static bool HasOffsets => false;
}

/// <summary>One scale and offset a row.</summary>
public struct ScaleOffsetOf32 : IScaleShape
{
    public static int Parts => 1;
    public static bool HasOffsets => true;
}

/// <summary>One scale and zero point a row.</summary>
public struct ScaleZeroPointOf32 : IScaleShape
{
    public static int Parts => 1;
    public static bool HasOffsets => true;
    public static bool HasZeroPoints => true;
}

/// <summary>Two scales a row, for 16 columns each.</summary>
public struct ScaleOf16 : IScaleShape
{
    public static int Parts => 2;
    public static bool HasOffsets => false;
}

/// <summary>Two scales and offsets a row, for 16 columns each.</summary>
public struct ScaleOffsetOf16 : IScaleShape
{
    public static int Parts => 2;
    public static bool HasOffsets => true;
}
