using System.Numerics;
using Nibble.Core.Formats;
using Nibble.Core.Kernels;

namespace Nibble.Tests.Kernels;

public class HadamardTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(4)]
    [InlineData(8)]
    [InlineData(32)]
    [InlineData(128)]
    public void Every_entry_is_the_sign_of_the_bits_in_common_over_the_root(int block)
    {
        for (int i = 0; i < block; i++)
        {
            var column = new float[2 * block];
            column[block + i] = 1;
            Hadamard.Rotate(column, block);
            for (int j = 0; j < block; j++)
            {
                Assert.Equal(0, column[j]);
                double sign = BitOperations.PopCount((uint)(i & j)) % 2 == 0 ? 1 : -1;
                Assert.Equal(sign / Math.Sqrt(block), column[block + j], 1e-6);
            }
        }
    }

    [Fact]
    public void It_keeps_products_and_takes_itself_back()
    {
        float[] x = AttentionTests.Gaussian(192, 1), y = AttentionTests.Gaussian(192, 2), rx = [.. x], ry = [.. y];
        Hadamard.Rotate(rx, Hadamard.BlockOf(192));
        Hadamard.Rotate(ry, Hadamard.BlockOf(192));
        Assert.Equal(64, Hadamard.BlockOf(192));
        Assert.Equal(x.Zip(y, (a, b) => (double)a * b).Sum(), rx.Zip(ry, (a, b) => (double)a * b).Sum(), 1e-4);
        Hadamard.Rotate(rx, 64);
        for (int i = 0; i < x.Length; i++) Assert.Equal(x[i], rx[i], 1e-5);
    }

    [Fact]
    public void Rotated_rows_with_an_outlier_column_lose_much_less_at_4_bits()
    {
        Format format = Format.Parse("Q4_0");
        double plain = 0, rotated = 0;
        for (int row = 0; row < 100; row++)
        {
            float[] x = AttentionTests.Gaussian(64, row);
            x[13] += 25;
            float[] r = [.. x];
            Hadamard.Rotate(r, 64);
            (float[] plainBack, float[] rotatedBack) = (Rounded(x), Rounded(r));
            Hadamard.Rotate(rotatedBack, 64);
            for (int i = 0; i < 64; i++)
            {
                // What the outlier itself loses is small beside it; the others are what must survive.
                if (i == 13) continue;
                plain += Math.Pow(x[i] - plainBack[i], 2);
                rotated += Math.Pow(x[i] - rotatedBack[i], 2);
            }
        }
        Assert.True(rotated < plain / 2, $"rotated {rotated}, plain {plain}");

        float[] Rounded(float[] row)
        {
            var bytes = new byte[format.RowBytes(row.Length)];
            var back = new float[row.Length];
            format.Encode(row, default, bytes);
            format.Decode(bytes, back);
            return back;
        }
    }
}
