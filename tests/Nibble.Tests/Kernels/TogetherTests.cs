using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Tests.Kernels;

/// <summary>Several products of one input in one parallel region, and what follows their rows.</summary>
public sealed unsafe class TogetherTests : IDisposable
{
    private const int Columns = 512, Rows = 1536;

    private readonly Activation _x = new();

    public TogetherTests()
    {
        _x.Resize(1, Columns);
        AttentionTests.Gaussian(Columns, 1).CopyTo(_x.Row(0));
        _x.Changed();
    }

    public void Dispose() => _x.Dispose();

    private static Weight Random(string format, int rows, int columns, int seed)
    {
        Weight weight = Weight.Allocate("w", Format.Parse(format), rows, columns);
        for (int r = 0; r < rows; r++) weight.Format.Encode(AttentionTests.Gaussian(columns, seed + r), default, weight.Row(r));
        return weight;
    }

    private float[] Alone(Weight weight, Activation x)
    {
        using var pool = new WorkerPool(1);
        var y = new float[x.Tokens * weight.Rows];
        fixed (float* p = y) MatrixProduct.Multiply(weight, x, p, pool);
        return y;
    }

    /// <summary>Formats that want the input's numbers in different orders, and numbers of rows that no part divides.</summary>
    [Theory, InlineData(1), InlineData(2), InlineData(3), InlineData(5)]
    public void Products_of_any_packed_formats_and_sizes_are_those_that_they_are_alone(int workers)
    {
        using var pool = new WorkerPool(workers);
        Weight a = Random("Q4_K", Rows, Columns, 1), b = Random("Q6_K", 300, Columns, 2), c = Random("Q8_0", 47, Columns, 3);
        foreach (int tokens in (int[])[1, 3])
        {
            _x.Resize(tokens, Columns);
            for (int t = 0; t < tokens; t++) AttentionTests.Gaussian(Columns, t).CopyTo(_x.Row(t));
            float[] ya = new float[tokens * a.Rows], yb = new float[tokens * b.Rows], yc = new float[tokens * c.Rows];
            fixed (float* pa = ya, pb = yb, pc = yc)
                Assert.True(MatrixProduct.TryMultiply([new(a, pa), new(b, pb), new(c, pc)], _x, pool, null, default(NothingMore), []));
            _x.Changed();
            Assert.Equal(Alone(a, _x), ya);
            Assert.Equal(Alone(b, _x), yb);
            Assert.Equal(Alone(c, _x), yc);
        }
    }

    [Theory, InlineData(1, "Q4_0"), InlineData(2, "Q4_0"), InlineData(3, "Q6_K"), InlineData(5, "Q4_K")]
    public void A_gated_unit_and_its_codes_follow_the_rows(int workers, string format)
    {
        Weight gate = Random("Q4_0", Rows, Columns, 1), up = Random("Q4_0", Rows, Columns, 2), down = Random(format, 64, Rows, 3);
        float[] gates = Alone(gate, _x), ups = Alone(up, _x);
        using Activation expected = new(), actual = new();
        expected.Resize(1, Rows);
        actual.Resize(1, Rows);
        using var pool = new WorkerPool(workers);
        fixed (float* g = gates, u = ups)
        {
            new GatedUnit { F = Nonlinearity.Silu, Gate = g, Up = u, Stride = Rows, Y = expected }.Run(0, Rows / 32);
            float[] y = Alone(down, expected);
            Assert.True(actual.ExpectCodes(down, pool, null));
            var unit = new GatedUnit { F = Nonlinearity.Silu, Gate = g, Up = u, Stride = Rows, Y = actual, MakesCodes = true };
            Assert.True(MatrixProduct.TryMultiply([new(gate, g), new(up, u)], _x, pool, null, unit, [down.Range]));
            Assert.Equal(expected.Row(0).ToArray(), actual.Row(0).ToArray());
            Assert.Equal(new Span<sbyte>(expected.Codes, Rows).ToArray(), new Span<sbyte>(actual.Codes, Rows).ToArray());
            Assert.Equal(y, Alone(down, actual));
        }
    }

    /// <summary>Many tokens: what follows reads the sums of 32 rows where they were computed, and y stays as it was.</summary>
    [Theory, InlineData("F16", 1), InlineData("BF16", 2), InlineData("F16", 3)]
    public void A_gated_unit_follows_the_rows_of_pairs(string format, int workers)
    {
        const int tokens = 21;
        if (!PairKernel.Handles(Random(format, 32, Columns, 1), tokens)) Assert.Skip("this processor does not multiply pairs of bfloat16");
        using Activation x = new(), expected = new(), actual = new();
        x.Resize(tokens, Columns);
        for (int t = 0; t < tokens; t++) AttentionTests.Gaussian(Columns, t).CopyTo(x.Row(t));
        expected.Resize(tokens, Rows);
        actual.Resize(tokens, Rows);
        using var pool = new WorkerPool(workers);
        Weight gate = Random(format, Rows, Columns, 1), up = Random(format, Rows, Columns, 2);
        float[] gates = new float[tokens * Rows], ups = new float[tokens * Rows], none = new float[tokens * Rows];
        fixed (float* g = gates, u = ups, y = none)
        {
            MatrixProduct.Multiply(gate, x, g, pool, InputRounding.BFloat16);
            MatrixProduct.Multiply(up, x, u, pool, InputRounding.BFloat16);
            new GatedUnit { F = Nonlinearity.Silu, Gate = g, Up = u, Stride = Rows, Y = expected }.Run(0, Rows / 32);
            var unit = new GatedUnit { F = Nonlinearity.Silu, Gate = y, Up = y, Stride = Rows, Y = actual };
            Assert.True(MatrixProduct.TryMultiply([new(gate, y), new(up, y)], x, pool, InputRounding.BFloat16, unit, []));
        }
        for (int t = 0; t < tokens; t++) Assert.Equal(expected.Row(t).ToArray(), actual.Row(t).ToArray());
        Assert.All(none, n => Assert.Equal(0, n));
    }

    [Fact]
    public void Other_products_are_left_to_their_kernels()
    {
        using var pool = new WorkerPool(2);
        var y = new float[Rows];
        fixed (float* p = y)
        {
            foreach (string format in (string[])["F16", "NF4", "Trellis3", "Q4_0-h"])
                Assert.False(MatrixProduct.TryMultiply([new(Random("Q4_0", 32, Columns, 1), p), new(Random(format, 32, Columns, 2), p)], _x, pool, null, default(NothingMore), []), format);
            Assert.False(MatrixProduct.TryMultiply([new(Random("Q4_0", 48, Columns, 1), p)], _x, pool, null, new Failing(), []));
            Assert.False(_x.ExpectCodes(Random("F16", 16, Columns, 1), pool, null));
            Assert.False(_x.ExpectCodes(Random("Q4_0", 16, Columns, 1), pool, InputRounding.Parse("int8-token")));
        }
    }

    private struct Failing : IRowsJob
    {
        public readonly int Units => Rows / 32;

        public readonly void Read(ReadOnlySpan<nint> results, int stride) { }

        public readonly void Run(int from, int to)
        {
            if (from <= 20 && to > 20) throw new FormatException("what follows row 640 fails");
        }
    }

    [Theory, InlineData(2), InlineData(3)]
    public void What_follows_and_fails_fails_the_product(int workers)
    {
        using var pool = new WorkerPool(workers);
        Weight weight = Random("Q4_0", Rows, Columns, 1);
        var y = new float[Rows];
        fixed (float* p = y)
        {
            Product[] products = [new(weight, p)];
            var thrown = Assert.Throws<FormatException>(() => MatrixProduct.TryMultiply(products, _x, pool, null, new Failing(), []));
            Assert.Equal("what follows row 640 fails", thrown.Message);
            Assert.True(MatrixProduct.TryMultiply(products, _x, pool, null, default(NothingMore), []));
        }
        Assert.Equal(Alone(weight, _x), y);
    }
}
