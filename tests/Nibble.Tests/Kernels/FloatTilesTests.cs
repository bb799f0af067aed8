using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Tests.Kernels.Generated;

namespace Nibble.Tests.Kernels;

/// <summary>Floats of 16 bits in 12: every number comes back, and products are those of the numbers.</summary>
public sealed unsafe class FloatTilesTests
{
    [Theory, InlineData("BF16", 32, 64), InlineData("F16", 33, 2112), InlineData("BF16", 7, 32), InlineData("F16", 96, 512)]
    public void Every_number_comes_back(string format, int rows, int columns)
    {
        Weight weight = NewWeight(format, rows, columns);
        using var pool = new WorkerPool(2);
        FloatTiles? tiles = FloatTiles.Pack(weight, pool);
        Assert.NotNull(tiles);
        Assert.True(columns < 512 || tiles.Outliers > 0);
        Assert.Equal((long)tiles.Tiles * (64 + columns / 2 * 96), tiles.Bytes);
        foreach (FloatPairs? code in (FloatPairs?[])[null, FloatPairs.Instance, Emulator.FloatPairs(), Emulator.FloatPairs(windows: true)])
            CheckNumbers(code, tiles, weight);
    }

    private static void CheckNumbers(FloatPairs? code, FloatTiles tiles, Weight weight)
    {
        (int rows, int columns) = (weight.Rows, weight.Columns);
        var row = new float[columns];
        var pairs = new uint[columns / 2 * FloatTiles.TileRows];
        for (int tile = 0; tile < tiles.Tiles; tile++)
        {
            // In two stretches, the second of which begins inside.
            fixed (uint* at = pairs)
            {
                tiles.Unpack(code, tile, 0, 8, at);
                tiles.Unpack(code, tile, 8, columns / 2 - 8, at + 8 * FloatTiles.TileRows);
            }
            for (int r = tile * FloatTiles.TileRows; r < (tile + 1) * FloatTiles.TileRows; r++)
            {
                if (r < rows) weight.ReadRow(r, row);
                else row.AsSpan().Clear();
                for (int c = 0; c < columns; c++)
                    Assert.Equal(row[c], BitConverter.Int32BitsToSingle((int)(pairs[c / 2 * FloatTiles.TileRows + r % FloatTiles.TileRows] >> (c % 2 * 16) << 16)));
            }
        }
    }

    [Theory, InlineData(1), InlineData(2), InlineData(3), InlineData(5), InlineData(6), InlineData(7), InlineData(8), InlineData(13), InlineData(40)]
    public void Products_are_those_of_the_numbers(int tokens)
    {
        using var pool = new WorkerPool(1); // the emulated code is one thread's
        foreach ((string format, int rows, int columns) in ((string, int, int)[])[("F16", 70, 2112), ("BF16", 32, 32), ("BF16", 33, 96)])
        {
            Weight weight = NewWeight(format, rows, columns);
            FloatTiles tiles = FloatTiles.Pack(weight, pool)!;
            using Activation x = BFloat16Products.NewInput(tokens, columns);
            var y = new float[tokens * rows];
            fixed (float* to = y)
                if (PairKernel.AreFew(tokens, columns))
                    foreach (FloatTile? code in (FloatTile?[])[Emulator.FloatTile(tokens), Emulator.FloatTile(tokens, windows: true), FloatTile.For(tokens)])
                    {
                        if (code is null) continue;
                        y.AsSpan().Clear();
                        PairKernel.MultiplyFew(code, tiles, x, to, pool);
                        BFloat16Products.Check(weight, x, pool, y);
                    }
                else
                {
                    PairKernel.Multiply(Emulator.Pairs(), tiles, x, to, pool);
                    BFloat16Products.Check(weight, x, pool, y);
                }
        }
    }

    [Fact]
    public void Any_number_of_workers_gives_the_same_bits()
    {
        if (FloatTile.For(1) is null) Assert.Skip("the processor has no products of bfloat16");
        Weight weight = NewWeight("F16", 300, 512);
        float[]? first = null;
        foreach (int workers in (int[])[1, 2, 3, 5])
        {
            using var pool = new WorkerPool(workers);
            using Activation x = BFloat16Products.NewInput(2, 512);
            var y = new float[600];
            fixed (float* to = y) PairKernel.Multiply(FloatTiles.Pack(weight, pool)!, x, to, pool);
            Assert.Equal(first ??= y, y);
        }
    }

    [Fact]
    public void A_product_takes_the_tiles_once_they_are_made()
    {
        if (FloatTile.For(1) is null) Assert.Skip("the processor has no products of bfloat16");
        using var pool = new WorkerPool(1);
        Weight weight = NewWeight("F16", 70, 512);
        using Activation x = BFloat16Products.NewInput(1, 512);
        var y = new float[70];
        fixed (float* to = y)
        {
            MatrixProduct.Multiply(weight, x, to, pool, InputRounding.BFloat16);
            BFloat16Products.Check(weight, x, pool, y);
            weight.PackFloats(pool);
            Assert.NotNull(weight.FloatTiles);
            y.AsSpan().Clear();
            MatrixProduct.Multiply(weight, x, to, pool, InputRounding.BFloat16);
        }
        BFloat16Products.Check(weight, x, pool, y);
    }

    [Fact]
    public void Numbers_that_are_no_bfloat16_stay_as_they_are()
    {
        using var pool = new WorkerPool(1);
        Weight weight = NewWeight("F16", 70, 512);
        ((Half*)(weight.Data + 66 * weight.RowBytes))[5] = (Half)(1 + 1 / 1024f);
        weight.PackFloats(pool);
        Assert.Null(weight.FloatTiles);
    }

    [Theory, InlineData(0), InlineData(40)]
    public void Numbers_too_far_from_each_other_stay_as_they_are(int row)
    {
        using var pool = new WorkerPool(1);
        Weight weight = NewWeight("BF16", 70, 512);
        foreach (ref Half word in System.Runtime.InteropServices.MemoryMarshal.Cast<byte, Half>(weight.Row(row))) word = BitConverter.UInt16BitsToHalf(0x0101);
        weight.PackFloats(pool);
        Assert.Null(weight.FloatTiles);
    }

    /// <summary>As weights are: most near each other, a few small ones, zeros of both signs, subnormal numbers.</summary>
    private static Weight NewWeight(string format, int rows, int columns)
    {
        Weight weight = Weight.Allocate("w", Format.Parse(format).ForColumns(columns), rows, columns);
        var random = new Random(rows + columns);
        var row = new float[columns];
        for (int r = 0; r < rows; r++)
        {
            foreach (ref float w in row.AsSpan()) w = (random.NextSingle() - 0.5f) * MathF.Pow(2, -random.Next(4));
            if (columns >= 512 && r % 4 == 0)
            {
                row[random.Next(columns)] = 1e-6f * random.NextSingle();
                row[random.Next(columns)] = format == "BF16" ? -1e-39f : -6e-8f;
            }
            row[random.Next(columns)] = 0;
            row[random.Next(columns)] = -0f;
            FloatFormat.RoundToBFloat16(row, row);
            weight.Format.Encode(row, default, weight.Row(r));
        }
        return weight;
    }
}
