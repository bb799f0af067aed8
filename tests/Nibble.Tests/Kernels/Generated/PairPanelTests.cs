using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Tests.Kernels.Generated;

/// <summary>Products of bfloat16, emulated everywhere and run where the processor can, against sums in double precision.</summary>
public sealed unsafe class PairPanelTests
{
    [Theory]
    [InlineData(32, 64, 6), InlineData(33, 258, 7), InlineData(1, 2, 2), InlineData(70, 770, 13)]
    public void Products_are_those_of_rounded_inputs(int rows, int columns, int tokens)
    {
        using var pool = new WorkerPool(2);
        var random = new Random(rows + columns);
        Weight weight = Weight.Allocate("w", FloatFormat.BF16, rows, columns);
        var row = new float[columns];
        for (int r = 0; r < rows; r++)
        {
            foreach (ref float w in row.AsSpan()) w = random.NextSingle() - 0.5f;
            weight.Format.Encode(row, default, weight.Row(r));
        }
        using var x = new Activation();
        x.Resize(tokens, columns);
        for (int t = 0; t < tokens; t++)
            foreach (ref float v in x.Row(t)) v = 3 * random.NextSingle() - 1;
        x.Changed();
        var rounded = new ReadOnlySpan<float>(x.Rounded(pool, InputRounding.BFloat16), tokens * columns).ToArray();
        var y = new float[tokens * rows];
        fixed (float* to = y)
        {
            MatrixProduct.Multiply(weight, x, to, pool, InputRounding.BFloat16);
            Check(y);
            foreach (bool windows in (bool[])[false, true])
            {
                y.AsSpan().Clear();
                PairKernel.Multiply(Emulator.Pairs(windows), weight, x.Floats, tokens, to, 0, rows);
                Check(y);
            }
            if (PairPanel.Instance is not { } panel) return;
            y.AsSpan().Clear();
            PairKernel.Multiply(panel, weight, x.Floats, tokens, to, 0, rows);
            Check(y);
        }

        void Check(float[] products)
        {
            for (int r = 0; r < rows; r++)
            {
                weight.ReadRow(r, row);
                for (int t = 0; t < tokens; t++)
                {
                    double sum = 0, size = 0;
                    for (int c = 0; c < columns; c++)
                    {
                        sum += row[c] * (double)rounded[t * columns + c];
                        size += Math.Abs(row[c] * (double)rounded[t * columns + c]);
                    }
                    Assert.Equal(sum, products[t * rows + r], 1e-6 * size);
                }
            }
        }
    }

    [Fact]
    public void Rounding_to_bfloat16_keeps_eight_bits()
    {
        using var pool = new WorkerPool(1);
        using var x = new Activation();
        x.Resize(1, 3);
        float[] numbers = [1 + 1 / 256f, 1 + 3 / 256f, -0.1f];
        numbers.CopyTo(x.Row(0));
        x.Changed();
        Assert.Equal([1, 1 + 4 / 256f, -0.10009765625f], new ReadOnlySpan<float>(x.Rounded(pool, InputRounding.BFloat16), 3).ToArray());
    }
}
