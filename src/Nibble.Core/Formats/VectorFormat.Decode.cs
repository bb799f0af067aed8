using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>Decoding: an entry is a load, whatever its dimension.</summary>
public sealed partial class VectorFormat
{
    public override void Decode(ReadOnlySpan<byte> bytes, Span<float> weights)
    {
        bool wholeCodes = _shape is { Parts: 1, CodeBits: 8 or 16 };
        // Blocks without a header are one dense run of codes.
        int blockSize = _shape.HeaderBytes == 0 ? weights.Length : BlockSize, blockBytes = _shape.HeaderBytes == 0 ? bytes.Length : BlockBytes;
        for (int from = 0; from < weights.Length; from += blockSize, bytes = bytes[blockBytes..])
        {
            ReadOnlySpan<byte> block = bytes[..blockBytes], packed = block[_shape.HeaderBytes..];
            Span<float> to = weights.Slice(from, blockSize);
            if (!wholeCodes) DecodeBlock(packed, BookOf(block), ScaleOf(block), to);
            else if (_shape.CodeBits == 8) DecodeEntries(new ByteCodes(packed), StagesAt(BookOf(block), 0), ScaleOf(block), to);
            else DecodeEntries(new UShortCodes(packed), StagesAt(BookOf(block), 0), ScaleOf(block), to);
        }
    }

    private void DecodeBlock(ReadOnlySpan<byte> packed, int book, float scale, Span<float> weights)
    {
        int d = _shape.Dimension, stages = _shape.Stages;
        Span<int> codes = stackalloc int[stages];
        for (int v = 0; v < weights.Length / d; v++)
        {
            for (int s = 0; s < stages; s++) codes[s] = BitPacking.Read(packed, v * stages + s, _shape.CodeBits);
            Sum(StagesAt(book, v), codes, scale, weights.Slice(v * d, d));
        }
    }

    /// <summary>Entries of whole vectors, named by a byte each, are multiplied where they lie.</summary>
    public override bool HasDot => _shape is { Parts: 1, CodeBits: 8, Dimension: 8 };

    public override float Dot(ReadOnlySpan<byte> row, ReadOnlySpan<float> x)
    {
        int blockSize = _shape.HeaderBytes == 0 ? x.Length : BlockSize, blockBytes = _shape.HeaderBytes == 0 ? row.Length : BlockBytes;
        Vector256<float> sum = default;
        for (int from = 0; from < x.Length; from += blockSize, row = row[blockBytes..])
        {
            ReadOnlySpan<byte> block = row[..blockBytes];
            ReadOnlySpan<Codebook> stages = StagesAt(BookOf(block), 0);
            Vector256<float> part = default;
            for (int s = 0; s < stages.Length; s++)
                part += Dot(block[(_shape.HeaderBytes + s)..], stages.Length, stages[s].Points, x.Slice(from, blockSize));
            sum = Vector256.FusedMultiplyAdd(part, Vector256.Create(ScaleOf(block)), sum);
        }
        return Vector256.Sum(sum);
    }

    /// <summary>The products of one stage's entries, whose codes are so many bytes apart; lanes are the dimensions.</summary>
    private static Vector256<float> Dot(ReadOnlySpan<byte> codes, int apart, float[] points, ReadOnlySpan<float> x)
    {
        if (codes.Length < (x.Length / 8 - 1) * apart + 1 || points.Length < 256 * 8) throw new ArgumentException("Codes or entries are missing.", nameof(codes));
        ref byte code = ref MemoryMarshal.GetReference(codes);
        ref float point = ref MemoryMarshal.GetArrayDataReference(points), input = ref MemoryMarshal.GetReference(x);
        Vector256<float> a = default, b = default, c = default, d = default;
        nuint i = 0, at = 0, step = (nuint)apart;
        for (; i + 32 <= (nuint)x.Length; i += 32, at += 4 * step)
        {
            a = Vector256.FusedMultiplyAdd(Vector256.LoadUnsafe(ref point, 8u * Unsafe.Add(ref code, at)), Vector256.LoadUnsafe(ref input, i), a);
            b = Vector256.FusedMultiplyAdd(Vector256.LoadUnsafe(ref point, 8u * Unsafe.Add(ref code, at + step)), Vector256.LoadUnsafe(ref input, i + 8), b);
            c = Vector256.FusedMultiplyAdd(Vector256.LoadUnsafe(ref point, 8u * Unsafe.Add(ref code, at + 2 * step)), Vector256.LoadUnsafe(ref input, i + 16), c);
            d = Vector256.FusedMultiplyAdd(Vector256.LoadUnsafe(ref point, 8u * Unsafe.Add(ref code, at + 3 * step)), Vector256.LoadUnsafe(ref input, i + 24), d);
        }
        for (; i < (nuint)x.Length; i += 8, at += step) a = Vector256.FusedMultiplyAdd(Vector256.LoadUnsafe(ref point, 8u * Unsafe.Add(ref code, at)), Vector256.LoadUnsafe(ref input, i), a);
        return (a + b) + (c + d);
    }

    private interface ICodes
    {
        int this[int at] { get; }
    }

    private readonly ref struct ByteCodes(ReadOnlySpan<byte> packed) : ICodes
    {
        private readonly ReadOnlySpan<byte> _codes = packed;
        public int this[int at] => _codes[at];
    }

    private readonly ref struct UShortCodes(ReadOnlySpan<byte> packed) : ICodes
    {
        private readonly ReadOnlySpan<ushort> _codes = MemoryMarshal.Cast<byte, ushort>(packed);
        public int this[int at] => _codes[at];
    }

    /// <summary>Codes of whole bytes: for each vector one a stage.</summary>
    private static void DecodeEntries<TCodes>(TCodes codes, ReadOnlySpan<Codebook> stages, float scale, Span<float> weights)
        where TCodes : struct, ICodes, allows ref struct
    {
        int d = stages[0].Dimension;
        ref float to = ref MemoryMarshal.GetReference(weights);
        for (int i = 0, code = 0; i < weights.Length; i += d)
        {
            ref float entry = ref stages[0].Entry(codes[code++]);
            if (d == 8)
            {
                Vector256<float> sum = Vector256.LoadUnsafe(ref entry);
                for (int s = 1; s < stages.Length; s++) sum += Vector256.LoadUnsafe(ref stages[s].Entry(codes[code++]));
                (Vector256.Create(scale) * sum).StoreUnsafe(ref to, (nuint)i);
            }
            else if (d == 4)
            {
                Vector128<float> sum = Vector128.LoadUnsafe(ref entry);
                for (int s = 1; s < stages.Length; s++) sum += Vector128.LoadUnsafe(ref stages[s].Entry(codes[code++]));
                (Vector128.Create(scale) * sum).StoreUnsafe(ref to, (nuint)i);
            }
            else
            {
                Vector64<float> sum = Vector64.LoadUnsafe(ref entry);
                for (int s = 1; s < stages.Length; s++) sum += Vector64.LoadUnsafe(ref stages[s].Entry(codes[code++]));
                (Vector64.Create(scale) * sum).StoreUnsafe(ref to, (nuint)i);
            }
        }
    }
}
