using System.Buffers.Binary;

namespace Nibble.Core.Formats;

/// <summary>Numbers stored one by one as floats. Rounding is to nearest, ties to even; there is nothing to fit.</summary>
public sealed class FloatFormat : Format
{
    private readonly Func<float, uint> _encode;
    private readonly Func<uint, float> _decode;

    public static readonly FloatFormat F32 = new("F32", 4, 0, 0, BitConverter.SingleToUInt32Bits, BitConverter.UInt32BitsToSingle);

    public static readonly FloatFormat F16 = new("F16", 2, 1, 1e-6,
        w => BitConverter.HalfToUInt16Bits((Half)w), bits => (float)BitConverter.UInt16BitsToHalf((ushort)bits));

    public static readonly FloatFormat BF16 = new("BF16", 2, 30, 1e-5, RoundToBFloat16, bits => BitConverter.UInt32BitsToSingle(bits << 16));

    private FloatFormat(string name, int bytes, uint ggufType, double errorBudget, Func<float, uint> encode, Func<uint, float> decode)
    {
        Name = name;
        BlockBytes = bytes;
        GgufType = ggufType;
        ErrorBudget = errorBudget;
        _encode = encode;
        _decode = decode;
    }

    public override string Name { get; }
    public override FormatFamily Family => FormatFamily.Float;
    public override uint? GgufType { get; }
    public override int BlockSize => 1;
    public override int BlockBytes { get; }
    public override double ErrorBudget { get; }

    public override void Fit(ReadOnlySpan<float> weights, in FitOptions options, Span<byte> block) { }

    public override void Put(Span<byte> block, int at, ReadOnlySpan<float> weights, Span<float> rounded)
    {
        Encode(weights[..1], default, block);
        Decode(block, rounded[..1]);
    }

    public override void Encode(ReadOnlySpan<float> row, in FitOptions options, Span<byte> bytes)
    {
        for (int i = 0; i < row.Length; i++)
        {
            uint bits = _encode(row[i]);
            if (BlockBytes == 4) BinaryPrimitives.WriteUInt32LittleEndian(bytes[(4 * i)..], bits);
            else BinaryPrimitives.WriteUInt16LittleEndian(bytes[(2 * i)..], (ushort)bits);
        }
    }

    public override void Decode(ReadOnlySpan<byte> bytes, Span<float> weights)
    {
        for (int i = 0; i < weights.Length; i++)
            weights[i] = _decode(BlockBytes == 4
                ? BinaryPrimitives.ReadUInt32LittleEndian(bytes[(4 * i)..])
                : BinaryPrimitives.ReadUInt16LittleEndian(bytes[(2 * i)..]));
    }

    private static uint RoundToBFloat16(float weight)
    {
        uint bits = BitConverter.SingleToUInt32Bits(weight);
        return (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
    }
}
