using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>Numbers stored one by one as floats. Rounding is to nearest, ties to even; there is nothing to fit.</summary>
public sealed class FloatFormat : Format
{
    private delegate void RowEncoder(ReadOnlySpan<float> row, Span<byte> bytes);
    private delegate void RowDecoder(ReadOnlySpan<byte> bytes, Span<float> row);

    private readonly RowEncoder _encode;
    private readonly RowDecoder _decode;

    public static readonly FloatFormat F64 = new("F64", 8, 28, 0,
        (row, bytes) => TensorPrimitives.ConvertChecked<float, double>(row, MemoryMarshal.Cast<byte, double>(bytes)),
        (bytes, row) => TensorPrimitives.ConvertTruncating<double, float>(MemoryMarshal.Cast<byte, double>(bytes)[..row.Length], row));

    public static readonly FloatFormat F32 = new("F32", 4, 0, 0,
        (row, bytes) => MemoryMarshal.AsBytes(row).CopyTo(bytes),
        (bytes, row) => bytes[..(4 * row.Length)].CopyTo(MemoryMarshal.AsBytes(row)));

    public static readonly FloatFormat F16 = new("F16", 2, 1, 1e-6,
        (row, bytes) => TensorPrimitives.ConvertToHalf(row, MemoryMarshal.Cast<byte, Half>(bytes)),
        (bytes, row) => TensorPrimitives.ConvertToSingle(MemoryMarshal.Cast<byte, Half>(bytes)[..row.Length], row));

    public static readonly FloatFormat BF16 = new("BF16", 2, 30, 1e-5,
        (row, bytes) => ToBFloat16(row, MemoryMarshal.Cast<byte, ushort>(bytes)),
        (bytes, row) => FromBFloat16(MemoryMarshal.Cast<byte, ushort>(bytes), row));

    public static readonly FloatFormat F8_E4M3 = new("F8_E4M3", 1, null, 4e-3, Float8.E4M3.Encode, Float8.E4M3.Decode);

    public static readonly FloatFormat F8_E5M2 = new("F8_E5M2", 1, null, 1.6e-2, Float8.E5M2.Encode, Float8.E5M2.Decode);

    private FloatFormat(string name, int bytes, uint? ggufType, double errorBudget, RowEncoder encode, RowDecoder decode)
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
    public override bool HasRange => false;
    public override uint? GgufType { get; }
    public override int BlockSize => 1;
    public override int BlockBytes { get; }
    public override double ErrorBudget { get; }

    public override void Fit(ReadOnlySpan<float> weights, in FitOptions options, Span<byte> block) { }

    public override void Put(Span<byte> block, int at, ReadOnlySpan<float> weights, Span<float> rounded)
    {
        _encode(weights[..1], block);
        _decode(block, rounded[..1]);
    }

    public override void Encode(ReadOnlySpan<float> row, in FitOptions options, Span<byte> bytes) => _encode(row, bytes);

    public override void Decode(ReadOnlySpan<byte> bytes, Span<float> weights) => _decode(bytes, weights);

    private static void ToBFloat16(ReadOnlySpan<float> row, Span<ushort> bits)
    {
        int i = 0;
        for (; i <= row.Length - 16; i += 16)
        {
            Vector256.Narrow(ToBFloat16(Vector256.Create(row.Slice(i, 8))), ToBFloat16(Vector256.Create(row.Slice(i + 8, 8))))
                .CopyTo(bits[i..]);
        }
        for (; i < row.Length; i++) bits[i] = (ushort)ToBFloat16(Vector256.Create(row[i]))[0];
    }

    /// <summary>The floats that bfloat16 makes of others.</summary>
    /// <param name="row">Any numbers.</param>
    /// <param name="rounded">As many; may be the row itself.</param>
    public static void RoundToBFloat16(ReadOnlySpan<float> row, Span<float> rounded)
    {
        int i = 0;
        for (; i <= row.Length - 8; i += 8) (ToBFloat16(Vector256.Create(row.Slice(i, 8))) << 16).AsSingle().CopyTo(rounded[i..]);
        for (; i < row.Length; i++) rounded[i] = (ToBFloat16(Vector256.Create(row[i])) << 16).AsSingle()[0];
    }

    /// <summary>The upper half of each float's bits, rounded; NaN stays NaN, made quiet.</summary>
    public static Vector256<uint> ToBFloat16(Vector256<float> weights)
    {
        Vector256<uint> bits = weights.AsUInt32(), upper = bits >>> 16;
        Vector256<uint> rounded = (bits + Vector256.Create(0x7FFFu) + (upper & Vector256<uint>.One)) >>> 16;
        return Vector256.ConditionalSelect(Vector256.IsNaN(weights).AsUInt32(), upper | Vector256.Create(64u), rounded);
    }

    private static void FromBFloat16(ReadOnlySpan<ushort> bits, Span<float> row)
    {
        int i = 0;
        for (; i <= row.Length - 16; i += 16)
        {
            Vector256<ushort> upper = Vector256.Create(bits.Slice(i, 16));
            (Vector256.WidenLower(upper) << 16).AsSingle().CopyTo(row[i..]);
            (Vector256.WidenUpper(upper) << 16).AsSingle().CopyTo(row[(i + 8)..]);
        }
        for (; i < row.Length; i++) row[i] = BitConverter.UInt32BitsToSingle((uint)bits[i] << 16);
    }
}
