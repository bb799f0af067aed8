using System.Buffers.Binary;

namespace Nibble.Core.Formats;

/// <summary>
/// A number of a block that many of its weights are linear in, the codes being what they are: a scale, a minimum, or what multiplies
/// those of the groups. It is stored as a half, or as an integer in one or two places.
/// </summary>
public readonly record struct BlockParameter
{
    private readonly bool _isSigned;

    private BlockParameter(BitPlace low, BitPlace high, bool isSigned, int zero = 0) => (Low, High, _isSigned, Zero) = (low, high, isSigned, zero);

    /// <summary>Its lower bits; the first byte of a half.</summary>
    internal BitPlace Low { get; }

    /// <summary>The bits above them, or none.</summary>
    internal BitPlace High { get; }

    /// <summary>What is stored for the number 0, if it is an integer whose bits are not of two's complement.</summary>
    internal int Zero { get; }

    /// <summary>Some bits of a byte.</summary>
    /// <param name="Byte">Of the block.</param>
    /// <param name="Shift">The lowest bit.</param>
    /// <param name="Bits">How many; 0 is nothing.</param>
    public readonly record struct BitPlace(int Byte, int Shift, int Bits)
    {
        internal int Mask => (1 << Bits) - 1;

        public int Read(ReadOnlySpan<byte> block) => (block[Byte] >> Shift) & Mask;

        public void Write(Span<byte> block, int value) => block[Byte] = (byte)((block[Byte] & ~(Mask << Shift)) | ((value & Mask) << Shift));
    }

    /// <summary>A half in two bytes.</summary>
    public static BlockParameter OfHalf(int at) => new(new BitPlace(at, 0, 0), default, false);

    /// <summary>An integer of 8 bits, -128 to 127.</summary>
    public static BlockParameter OfSignedByte(int at) => new(new BitPlace(at, 0, 8), default, true);

    /// <summary>An integer that is stored plus <paramref name="zero"/>.</summary>
    public static BlockParameter OfBits(BitPlace low, BitPlace high = default, int zero = 0) => new(low, high, false, zero);

    public bool IsHalf => Low.Bits == 0;

    private int Least => _isSigned ? -128 : -Zero;

    private int Most => Least + (1 << (Low.Bits + High.Bits)) - 1;

    public double Read(ReadOnlySpan<byte> block) => IsHalf ? (double)BinaryPrimitives.ReadHalfLittleEndian(block[Low.Byte..])
        : _isSigned ? (sbyte)block[Low.Byte]
        : (Low.Read(block) | (High.Read(block) << Low.Bits)) - Zero;

    /// <summary>Stores the nearest number there is.</summary>
    /// <returns>What was stored.</returns>
    public double Write(Span<byte> block, double value)
    {
        if (IsHalf)
        {
            var half = (Half)Math.Clamp(value, (double)Half.MinValue, (double)Half.MaxValue);
            BinaryPrimitives.WriteHalfLittleEndian(block[Low.Byte..], half);
            return (double)half;
        }
        int nearest = (int)Math.Clamp(Math.Round(value), Least, Most);
        Low.Write(block, nearest + Zero);
        if (High.Bits > 0) High.Write(block, (nearest + Zero) >> Low.Bits);
        return nearest;
    }

    /// <summary>Stores another number, as a trial: an eighth more, or the next.</summary>
    /// <returns>What was stored.</returns>
    public double WriteOther(Span<byte> block)
    {
        double now = Read(block);
        return Write(block, IsHalf ? (Math.Abs(now) < (double)Half.MaxValue / 2 ? now * 1.125 : now / 2) : now < Most ? now + 1 : now - 1);
    }
}
