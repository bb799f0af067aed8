using System.Runtime.InteropServices;
using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Kernels.Generated;

namespace Nibble.Tests.Kernels.Generated;

/// <summary>The products of attention over few rows, emulated and run where the processor can, against sums in double precision.</summary>
public sealed unsafe class WideAttentionTests
{
    public static TheoryData<bool, int, int, int> Shapes()
    {
        var shapes = new TheoryData<bool, int, int, int>();
        foreach (bool halves in (bool[])[false, true])
        {
            for (int size = WideAttention.Lanes; size <= 256; size += WideAttention.Lanes) shapes.Add(halves, size, size, size);
            shapes.Add(halves, 64, 48, 64);
            shapes.Add(halves, 272, 256, 272);
            shapes.Add(halves, 576, 512, 576);
            shapes.Add(halves, 32, 96, 96);
        }
        return shapes;
    }

    [Theory, MemberData(nameof(Shapes))]
    public void Scores_are_products_of_all_rows_and_keys_and_sums_are_weighted_values(bool halves, int keySize, int valueSize, int valueStride)
    {
        var shape = new StoredShape(halves, keySize, valueSize, valueStride);
        for (int rows = 1; rows <= 8; rows++)
        {
            int count = (keySize * 7 + rows * 13) % Attention.KeyBlock + 1;
            var numbers = new Numbers(shape, rows, count);
            using var stored = new KeyValueRows(halves ? FloatFormat.F16 : FloatFormat.F32, 1, 1, keySize, valueStride == keySize ? 0 : valueStride);
            if (WideAttention.For(stored, valueSize) is { } wide) numbers.Check(wide);
            foreach (bool windows in (bool[])[false, true]) numbers.Check(Emulator.Attention(shape, windows));
        }
    }

    [Fact]
    public void Any_number_of_keys_can_be_asked_for()
    {
        var shape = new StoredShape(true, 16, 16, 16);
        for (int count = 1; count <= Attention.KeyBlock; count++)
            for (int rows = 1; rows <= 8; rows++) new Numbers(shape, rows, count).Check(Emulator.Attention(shape, windows: false));
    }

    /// <summary>Random rows and stored numbers; behind the stored rows that count are others that are no numbers.</summary>
    private sealed class Numbers
    {
        private readonly StoredShape _shape;
        private readonly int _rows, _count;
        private readonly float[] _queries, _weights, _shrink, _before, _keys, _values;
        private readonly byte[] _storedKeys, _storedValues;

        public Numbers(StoredShape shape, int rows, int count)
        {
            (_shape, _rows, _count) = (shape, rows, count);
            _queries = AttentionTests.Gaussian(rows * shape.KeySize, count);
            _weights = AttentionTests.Gaussian(rows * Attention.KeyBlock, count + 1);
            _shrink = AttentionTests.Gaussian(rows, count + 5);
            _before = AttentionTests.Gaussian(rows * shape.ValueSize, count + 2);
            (_keys, _storedKeys) = Stored(shape.KeySize, 3);
            (_values, _storedValues) = Stored(shape.ValueStride, 4);
        }

        private (float[] Rows, byte[] Stored) Stored(int size, int seed)
        {
            FloatFormat format = _shape.Halves ? FloatFormat.F16 : FloatFormat.F32;
            float[] rows = [.. AttentionTests.Gaussian(_count * size, seed), .. Enumerable.Repeat(float.NaN, WideAttention.KeysOf(1) * size)];
            byte[] stored = new byte[rows.Length * format.BlockBytes];
            format.Encode(rows, default, stored);
            format.Decode(stored, rows);
            return (rows, stored);
        }

        public void Check(WideAttention wide)
        {
            float[] scores = new float[_rows * Attention.KeyBlock + 1], sums = [.. _before];
            scores[^1] = 77;
            fixed (byte* keys = _storedKeys, values = _storedValues)
            fixed (float* queries = _queries, weights = _weights, shrink = _shrink, toScores = scores, toSums = sums)
            {
                wide.Score(queries, keys, keys, _count, toScores, _rows);
                wide.AddValues(weights, values, values, _count, shrink, toSums, _rows);
            }
            Assert.Equal(77, scores[^1]);
            for (int r = 0; r < _rows; r++)
            {
                for (int j = 0; j < _count; j++)
                    AssertSum(0, scores[r * Attention.KeyBlock + j], _shape.KeySize, i => (double)_queries[r * _shape.KeySize + i] * _keys[j * _shape.KeySize + i]);
                for (int i = 0; i < _shape.ValueSize; i++)
                    AssertSum((double)_shrink[r] * _before[r * _shape.ValueSize + i], sums[r * _shape.ValueSize + i], _count, j => (double)_weights[r * Attention.KeyBlock + j] * _values[j * _shape.ValueStride + i]);
            }
        }

        private static void AssertSum(double before, float actual, int count, Func<int, double> product)
        {
            double sum = before, size = Math.Abs(before);
            for (int i = 0; i < count; i++)
            {
                sum += product(i);
                size += Math.Abs(product(i));
            }
            Assert.Equal(sum, actual, 1e-6 * size);
        }
    }
}
