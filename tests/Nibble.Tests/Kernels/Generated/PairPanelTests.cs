using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Tests.Kernels.Generated;

/// <summary>Products of bfloat16, emulated everywhere and run where the processor can, against sums in double precision.</summary>
public sealed unsafe class PairPanelTests
{
    public static TheoryData<string, bool, int, int, int> Cases
    {
        get
        {
            var data = new TheoryData<string, bool, int, int, int>();
            foreach ((string format, bool published) in ((string, bool)[])[("BF16", true), ("F16", true), ("F16", false)])
                foreach ((int rows, int columns, int tokens) in ((int, int, int)[])[(32, 64, 6), (33, 258, 7), (1, 2, 2), (70, 2054, 13), (40, 100, 4), (9, 64, 1), (37, 2048, 2), (29, 96, 3), (13, 256, 4), (9, 128, 5), (14, 32, 7), (10, 512, 8), (33, 96, 16), (70, 2112, 37)])
                    data.Add(format, published, rows, columns, tokens);
            return data;
        }
    }

    [Theory, MemberData(nameof(Cases))]
    public void Products_are_those_of_rounded_inputs(string format, bool published, int rows, int columns, int tokens)
    {
        using var pool = new WorkerPool(1); // the emulated code is one thread's
        Weight weight = NewWeight(format, published, rows, columns);
        using Activation x = BFloat16Products.NewInput(tokens, columns);
        var y = new float[tokens * rows];
        fixed (float* to = y)
        {
            MatrixProduct.Multiply(weight, x, to, pool, InputRounding.BFloat16);
            BFloat16Products.Check(weight, x, pool, y);
            foreach (bool windows in (bool[])[false, true])
            {
                y.AsSpan().Clear();
                if (PairKernel.AreFew(tokens, columns)) PairKernel.MultiplyFew(Emulator.Rows(format == "F16", tokens, windows), weight, x, to, pool);
                else PairKernel.Multiply(Emulator.Pairs(windows), weight, x, to, pool);
                BFloat16Products.Check(weight, x, pool, y);
            }
            if (!PairKernel.AreMany(tokens, columns)) return;
            y.AsSpan().Clear();
            PairKernel.Multiply(Emulator.AmxPairs(), weight, x, to, pool);
            BFloat16Products.Check(weight, x, pool, y);
            Assert.True(Emulator.IsAmxReleased);
        }
    }

    /// <summary>Packed weights, of one scale a chunk and of two, with offsets, zero points and units, whose last tile has no neighbour.</summary>
    [Theory, InlineData("Q4_0"), InlineData("Q8_0"), InlineData("Q5_1"), InlineData("Q2_K"), InlineData("Q3_K"), InlineData("Q4_K"), InlineData("Q6_K")]
    [InlineData("IQ4_XS"), InlineData("Linear4"), InlineData("Linear1"), InlineData("Trellis2")]
    public void Products_of_packed_weights_are_those_of_rounded_ones(string name)
    {
        using var pool = new WorkerPool(1);
        const int rows = 45, columns = 2304, tokens = 35;
        Weight weight = NewWeight(name, published: false, rows, columns);
        using Activation x = BFloat16Products.NewInput(tokens, columns);
        var y = new float[tokens * rows];
        PackedMatrix packed = PackedMatrix.Pack(weight, pool);
        foreach (AmxPairs? code in (AmxPairs?[])[Emulator.AmxPairs(), AmxPairs.Instance])
        {
            if (code is null) continue;
            fixed (float* to = y) PairKernel.MultiplyPacked(code, packed, x, to, pool);
            BFloat16Products.Check(weight, x, pool, y, weightError: 1 / 512.0);
        }
    }

    /// <summary>Every number of the format's bits, subnormal ones among them; published ones are bfloat16 numbers too.</summary>
    private static Weight NewWeight(string format, bool published, int rows, int columns)
    {
        Weight weight = Weight.Allocate("w", Format.Parse(format).ForColumns(columns), rows, columns);
        var random = new Random(rows + columns);
        var row = new float[columns];
        for (int r = 0; r < rows; r++)
        {
            foreach (ref float w in row.AsSpan()) w = (random.NextSingle() - 0.5f) * MathF.Pow(2, -random.Next(20));
            row[random.Next(columns)] = 0;
            if (published) FloatFormat.RoundToBFloat16(row, row);
            weight.Format.Encode(row, default, weight.Row(r));
        }
        return weight;
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
