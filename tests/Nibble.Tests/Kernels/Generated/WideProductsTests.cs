using Nibble.Core.Kernels;
using Nibble.Core.Kernels.Generated;

namespace Nibble.Tests.Kernels.Generated;

/// <summary>The products of attention over many rows: portable, emulated, and run where the processor can, against sums in double precision.</summary>
public sealed unsafe class WideProductsTests
{
    /// <summary>Keys lie apart and their numbers side by side; of values the numbers lie side by side and the steps apart.</summary>
    [Theory]
    [InlineData(64, 64, 64, 1), InlineData(13, 7, 20, 1), InlineData(64, 300, 1, 64), InlineData(9, 1, 1, 30), InlineData(3, 5, 8, 1)]
    public void Products_are_added_to_the_sums(int numbers, int count, int apart, int along)
    {
        const int rows = 16;
        var random = new Random(numbers + count);
        float[] Floats(int length) => [.. Enumerable.Range(0, length).Select(_ => random.NextSingle() - 0.5f)];
        float[] a = Floats((numbers - 1) * apart + (count - 1) * along + 1), b = Floats(2 * count * rows), before = Floats(2 * numbers * rows);
        for (int lines = 1; lines <= WideProducts.MostLines; lines++)
        {
            foreach (WideProducts? wide in (WideProducts?[])[null, WideProducts.For(lines)]) Check(wide, lines);
            foreach (bool windows in (bool[])[false, true]) Check(Emulator.Products(lines, pairs: false, windows), lines);
        }

        void Check(WideProducts? wide, int lines)
        {
            float[] sums = [.. before];
            fixed (float* pa = a, pb = b, ps = sums)
                Attention.AddProducts(wide, pa, apart, along, numbers, new Attention.Lines(pb, count * rows, lines), count, new Attention.Lines(ps, numbers * rows, lines));
            for (int line = 0; line < 2; line++)
                for (int m = 0; m < numbers; m++)
                    for (int row = 0; row < rows; row++) CheckSum(line, m, row, sums[(line * numbers + m) * rows + row], isMade: line < lines);
        }

        void CheckSum(int line, int m, int row, float actual, bool isMade)
        {
            double sum = before[(line * numbers + m) * rows + row], size = Math.Abs(sum);
            for (int k = 0; k < count && isMade; k++)
            {
                double product = a[m * apart + k * along] * (double)b[(line * count + k) * rows + row];
                sum += product;
                size += Math.Abs(product);
            }
            Assert.Equal(sum, actual, 1e-6 * size);
        }
    }

    /// <summary>Pairs of bfloat16 numbers: both products of each are exact.</summary>
    [Theory]
    [InlineData(64, 32, 32, 1), InlineData(16, 300, 1, 16), InlineData(8, 1, 1, 8)]
    public void Products_of_pairs_are_added_to_the_sums(int numbers, int count, int apart, int along)
    {
        const int rows = 16;
        var random = new Random(numbers + count);
        uint[] Pairs(int length) => [.. Enumerable.Range(0, length).Select(_ => BFloat16() | BFloat16() << 16)];
        uint BFloat16() => BitConverter.SingleToUInt32Bits(random.NextSingle() - 0.5f) >> 16;
        uint[] a = Pairs((numbers - 1) * apart + (count - 1) * along + 1), b = Pairs(2 * count * rows);
        for (int lines = 1; lines <= WideProducts.MostLines; lines++)
        {
            if (WideProducts.OfPairs(lines) is { } wide) Check(wide, lines);
            foreach (bool windows in (bool[])[false, true]) Check(Emulator.Products(lines, pairs: true, windows), lines);
        }

        void Check(WideProducts wide, int lines)
        {
            float[] sums = [.. Enumerable.Repeat(0.25f, lines * numbers * rows)];
            fixed (uint* pa = a, pb = b)
            fixed (float* ps = sums)
                Attention.AddProducts(wide, (float*)pa, apart, along, numbers, new Attention.Lines((float*)pb, count * rows, lines), count, new Attention.Lines(ps, numbers * rows, lines));
            for (int i = 0; i < sums.Length; i++)
            {
                (int line, int m, int row) = (i / rows / numbers, i / rows % numbers, i % rows);
                double sum = 0.25, size = 0.25;
                for (int k = 0; k < count; k++)
                {
                    uint x = a[m * apart + k * along], y = b[(line * count + k) * rows + row];
                    double lower = (double)Lower(x) * Lower(y), upper = (double)Upper(x) * Upper(y);
                    sum += lower + upper;
                    size += Math.Abs(lower) + Math.Abs(upper);
                }
                Assert.Equal(sum, sums[i], 1e-6 * size);
            }
        }

        static float Lower(uint pair) => BitConverter.UInt32BitsToSingle(pair << 16);

        static float Upper(uint pair) => BitConverter.UInt32BitsToSingle(pair & 0xFFFF0000);
    }
}
