using System.Runtime.InteropServices;
using Nibble.Core.Formats;
using Nibble.Core.Memory;

namespace Nibble.Files.Packed;

/// <summary>A matrix in a linear format, taken apart into what other programs' layouts store: codes, scales, zero points.</summary>
internal sealed class LinearMatrix
{
    private readonly byte[] _codes;
    private readonly float[] _scales;
    private readonly byte[] _zeros;

    /// <param name="weight">In a format that <see cref="WrittenLinear.Refusal(Format)"/> does not refuse.</param>
    public LinearMatrix(Weight weight)
    {
        Format = (LinearFormat)weight.Format;
        (Rows, Columns, Groups) = (weight.Rows, weight.Columns, weight.Columns / Format.BlockSize);
        _codes = new byte[checked(Rows * Columns)];
        _scales = new float[Rows * Groups];
        _zeros = new byte[Rows * Groups];
        Parallel.For(0, Rows, row => Read(weight, row));
    }

    public LinearFormat Format { get; }
    public int Rows { get; }
    public int Columns { get; }

    /// <summary>Groups a row.</summary>
    public int Groups { get; }

    public int Bits => Format.Bits;

    /// <summary>True if all zero points are in the middle.</summary>
    public bool IsSymmetric => Format.Kind == LinearKind.Symmetric;

    public ReadOnlySpan<byte> Codes(int row) => _codes.AsSpan(row * Columns, Columns);

    public byte Zero(int row, int group) => _zeros[row * Groups + group];

    /// <summary>The scales as their type stores them: [groups, rows], or [rows, groups].</summary>
    public byte[] Scales(bool byGroup)
    {
        float[] scales = byGroup ? [.. Enumerable.Range(0, _scales.Length).Select(i => _scales[i % Rows * Groups + i / Rows])] : _scales;
        FloatFormat type = TypeOf(Format);
        var bytes = new byte[scales.Length * type.BlockBytes];
        type.Encode(scales, default, bytes);
        return bytes;
    }

    /// <summary>The type of a format's scales; its name is safetensors' too.</summary>
    public static FloatFormat TypeOf(LinearFormat format) => format.Scale switch
    {
        ScaleType.F32 => FloatFormat.F32,
        ScaleType.BF16 => FloatFormat.BF16,
        _ => FloatFormat.F16,
    };

    /// <summary>Codes in a dense run, filled up to words of 32 bits.</summary>
    public static uint[] Words(ReadOnlySpan<byte> codes, int bits)
    {
        var words = new uint[((long)codes.Length * bits + 31) / 32];
        BitPacking.Pack(codes, bits, MemoryMarshal.AsBytes(words.AsSpan())[..BitPacking.Bytes(codes.Length, bits)]);
        return words;
    }

    private void Read(Weight weight, int row)
    {
        int size = Format.BlockSize, bytes = Format.BlockBytes, codeBytes = BitPacking.Bytes(size, Bits);
        ReadOnlySpan<byte> stored = weight.Row(row);
        Span<float> scale = stackalloc float[1], zero = stackalloc float[1];
        for (int g = 0; g < Groups; g++)
        {
            ReadOnlySpan<byte> block = stored.Slice(g * bytes, bytes);
            Format.ReadParameters(block, scale, zero);
            _scales[row * Groups + g] = scale[0];
            _zeros[row * Groups + g] = IsSymmetric ? (byte)(1 << (Bits - 1)) : (byte)zero[0];
            BitPacking.Unpack(block[(bytes - codeBytes)..], Bits, _codes.AsSpan(row * Columns + g * size, size));
        }
    }
}
