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
        float[] a = Floats((numbers - 1) * apart + (count - 1) * along + 1), b = Floats(count * rows), before = Floats(numbers * rows);
        foreach (WideProducts? wide in (WideProducts?[])[null, WideProducts.Instance]) Check(wide);
        foreach (bool windows in (bool[])[false, true]) Check(Emulator.Products(windows));

        void Check(WideProducts? wide)
        {
            float[] sums = [.. before];
            fixed (float* pa = a, pb = b, ps = sums) Attention.AddProducts(wide, pa, apart, along, numbers, pb, count, ps);
            for (int m = 0; m < numbers; m++)
                for (int row = 0; row < rows; row++)
                {
                    double sum = before[m * rows + row], size = Math.Abs(sum);
                    for (int k = 0; k < count; k++)
                    {
                        double product = a[m * apart + k * along] * (double)b[k * rows + row];
                        sum += product;
                        size += Math.Abs(product);
                    }
                    Assert.Equal(sum, sums[m * rows + row], 1e-6 * size);
                }
        }
    }
}
