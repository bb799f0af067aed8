using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Nibble.Core.Memory;

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

    private static unsafe NativeBuffer Aligned(Codebook[] codebooks)
    {
        var buffer = new NativeBuffer(codebooks.Sum(c => c.Points.Length) * sizeof(float), clear: false);
        var to = (float*)buffer.Pointer;
        foreach (Codebook codebook in codebooks)
        {
            codebook.Points.CopyTo(new Span<float>(to, codebook.Points.Length));
            to += codebook.Points.Length;
        }
        return buffer;
    }

    /// <summary>The entries of a stage.</summary>
    private unsafe float* EntriesOf(int book, int stage) =>
        (float*)(_entries ?? throw new InvalidOperationException($"{Name} has learned no codebook of this tensor.")).Pointer + (book * _shape.Stages + stage) * _shape.CodebookSize;

    public override unsafe float Dot(ReadOnlySpan<byte> row, ReadOnlySpan<float> x)
    {
        int blockSize = _shape.HeaderBytes == 0 ? x.Length : BlockSize, blockBytes = _shape.HeaderBytes == 0 ? row.Length : BlockBytes;
        Vector256<float> sum = default;
        for (int from = 0; from < x.Length; from += blockSize, row = row[blockBytes..])
        {
            ReadOnlySpan<byte> block = row[..blockBytes];
            Vector256<float> part = default;
            for (int s = 0; s < _shape.Stages; s++)
                part += Dot(block[(_shape.HeaderBytes + s)..], _shape.Stages, EntriesOf(BookOf(block), s), x.Slice(from, blockSize));
            sum = Vector256.FusedMultiplyAdd(part, Vector256.Create(ScaleOf(block)), sum);
        }
        return Vector256.Sum(sum);
    }

    /// <summary>The products of one stage's entries, whose codes are so many bytes apart; lanes are the dimensions.</summary>
    private static unsafe Vector256<float> Dot(ReadOnlySpan<byte> codes, int apart, float* entries, ReadOnlySpan<float> x)
    {
        if (codes.Length < (x.Length / 8 - 1) * apart + 1) throw new ArgumentException("Codes are missing.", nameof(codes));
        Vector256<float> a = default, b = default, c = default, d = default;
        fixed (byte* first = codes)
        fixed (float* input = x)
        {
            byte* code = first;
            int i = 0;
            for (; i + 32 <= x.Length; i += 32, code += 4 * apart)
            {
                a = Vector256.FusedMultiplyAdd(Vector256.Load(entries + 8 * code[0]), Vector256.Load(input + i), a);
                b = Vector256.FusedMultiplyAdd(Vector256.Load(entries + 8 * code[apart]), Vector256.Load(input + i + 8), b);
                c = Vector256.FusedMultiplyAdd(Vector256.Load(entries + 8 * code[2 * apart]), Vector256.Load(input + i + 16), c);
                d = Vector256.FusedMultiplyAdd(Vector256.Load(entries + 8 * code[3 * apart]), Vector256.Load(input + i + 24), d);
            }
            for (; i < x.Length; i += 8, code += apart) a = Vector256.FusedMultiplyAdd(Vector256.Load(entries + 8 * *code), Vector256.Load(input + i), a);
        }
        return (a + b) + (c + d);
    }

    /// <summary>Four rows without scales share the loads of the input: an entry of 8 weights is a load of its code and one of itself.</summary>
    public override unsafe void DotRows(ReadOnlySpan<byte> rows, ReadOnlySpan<float> x, Span<float> y)
    {
        if (_shape.HeaderBytes > 0 || y.Length != 4)
        {
            base.DotRows(rows, x, y);
            return;
        }
        int stages = _shape.Stages, rowBytes = rows.Length / 4;
        if (rowBytes < x.Length / 8 * stages) throw new ArgumentException("Codes are missing.", nameof(rows));
        y.Clear();
        fixed (byte* codes = rows)
        fixed (float* input = x, sums = y)
            for (int s = 0; s < stages; s++) AddFour(codes + s, rowBytes, stages, EntriesOf(0, s), input, x.Length, sums);
    }

    private static unsafe void AddFour(byte* codes, nint rowBytes, nint apart, float* entries, float* x, int columns, float* y)
    {
        byte* first = codes, second = first + rowBytes, third = second + rowBytes, fourth = third + rowBytes;
        Vector256<float> a = default, b = default, c = default, d = default;
        Vector256<float> a2 = default, b2 = default, c2 = default, d2 = default;
        nint at = 0;
        int i = 0;
        for (; i + 16 <= columns; i += 16, at += 2 * apart)
        {
            Vector256<float> own = Vector256.Load(x + i), next = Vector256.Load(x + i + 8);
            a = Vector256.FusedMultiplyAdd(Vector256.Load(entries + 8 * (nint)first[at]), own, a);
            b = Vector256.FusedMultiplyAdd(Vector256.Load(entries + 8 * (nint)second[at]), own, b);
            c = Vector256.FusedMultiplyAdd(Vector256.Load(entries + 8 * (nint)third[at]), own, c);
            d = Vector256.FusedMultiplyAdd(Vector256.Load(entries + 8 * (nint)fourth[at]), own, d);
            a2 = Vector256.FusedMultiplyAdd(Vector256.Load(entries + 8 * (nint)first[at + apart]), next, a2);
            b2 = Vector256.FusedMultiplyAdd(Vector256.Load(entries + 8 * (nint)second[at + apart]), next, b2);
            c2 = Vector256.FusedMultiplyAdd(Vector256.Load(entries + 8 * (nint)third[at + apart]), next, c2);
            d2 = Vector256.FusedMultiplyAdd(Vector256.Load(entries + 8 * (nint)fourth[at + apart]), next, d2);
        }
        if (i < columns)
        {
            var own = Vector256.Load(x + i);
            a += Vector256.Load(entries + 8 * first[at]) * own;
            b += Vector256.Load(entries + 8 * second[at]) * own;
            c += Vector256.Load(entries + 8 * third[at]) * own;
            d += Vector256.Load(entries + 8 * fourth[at]) * own;
        }
        (y[0], y[1], y[2], y[3]) = (y[0] + Vector256.Sum(a + a2), y[1] + Vector256.Sum(b + b2), y[2] + Vector256.Sum(c + c2), y[3] + Vector256.Sum(d + d2));
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
                // Not Vector64, which x64 has no registers for.
                (float first, float second) = (entry, Unsafe.Add(ref entry, 1));
                for (int s = 1; s < stages.Length; s++)
                {
                    entry = ref stages[s].Entry(codes[code++]);
                    first += entry;
                    second += Unsafe.Add(ref entry, 1);
                }
                (Unsafe.Add(ref to, i), Unsafe.Add(ref to, i + 1)) = (scale * first, scale * second);
            }
        }
    }
}
