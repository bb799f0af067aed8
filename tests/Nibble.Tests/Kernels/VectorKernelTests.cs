using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Tests.Formats;
using Nibble.Tests.Kernels.Generated;

namespace Nibble.Tests.Kernels;

/// <summary>Products by look-ups in tables of partial products: against float64 within their bound, and alike on every processor.</summary>
public sealed unsafe class VectorKernelTests
{
    /// <summary>Every dimension, one to eight stages, parts, a scale a row; rows that fill no tile, blocks that are not whole, an odd and an even number of tiles.</summary>
    [Theory, InlineData("Vector8x256", 256, 8), InlineData("Vector8x256", 331, 8 * 71), InlineData("Vector8x256x2", 449, 8 * 33), InlineData("Vector8x256x3-add", 300, 8 * 21)]
    [InlineData("Vector4x256", 383, 4 * 67), InlineData("Vector4x256x3", 261, 4 * 32), InlineData("Vector2x256", 391, 2 * 131), InlineData("Vector2x256x8", 257, 2 * 9)]
    [InlineData("Vector8x256-pq3", 270, 8 * 39), InlineData("Vector4x256x2-pq5", 320, 4 * 45), InlineData("Vector8x256-row", 290, 8 * 34), InlineData("Vector4x256x2-row-f32", 290, 4 * 10)]
    public void Tables_give_the_product(string name, int rows, int columns)
    {
        using Problem problem = new(name, rows, columns);
        float[] portable = problem.Multiply(default);
        problem.Check(portable, problem.Tiles.Products);
        int dimension = problem.Weight.Format.Stride;
        foreach (bool windows in (bool[])[false, true])
            Assert.Equal(portable, problem.Multiply(new(Emulator.EntryProducts(dimension, windows), Emulator.VectorTile(windows), Emulator.VectorTiles(windows))));
        if (!VectorTiles.Handles(problem.Weight, 1)) return;
        Assert.Equal(portable, problem.Multiply(VectorKernel.Code.For(dimension)));
        var y = new float[rows];
        fixed (float* p = y) MatrixProduct.Multiply(problem.Weight, problem.X, p, problem.Pool);
        Assert.Equal(portable, y);
    }

    [Fact]
    public void A_row_does_not_depend_on_the_number_of_workers()
    {
        using Problem problem = new("Vector4x256x2", 777, 4 * 90);
        float[] alone = problem.Multiply(default);
        using var pool = new WorkerPool(5);
        Assert.Equal(alone, problem.Multiply(default, pool));
    }

    /// <summary>An input a thousand times as large as the others costs only those of its block their digits.</summary>
    [Fact]
    public void Outliers_stay_within_their_block()
    {
        using Problem problem = new("Vector8x256", 300, 8 * 128);
        problem.X.Row(0)[77] = 1000;
        problem.X.Changed();
        problem.Check(problem.Multiply(default), problem.Tiles.Products);
    }

    /// <summary>Tables' rounding is far below that of inputs of 8 bits.</summary>
    [Theory, InlineData("Vector8x256", 1), InlineData("Vector8x256", 30), InlineData("Vector4x256x3", 1), InlineData("Vector2x256", 30)]
    public void Tables_are_finer_than_inputs_of_8_bits(string name, float outlier)
    {
        using Problem problem = new(name, 400, 8 * 128);
        for (int i = 5; i < 8 * 128; i += 97) problem.X.Row(0)[i] *= outlier;
        problem.X.Changed();
        double tables = problem.Distance(problem.Multiply(default));
        float* rounded = problem.X.Rounded(problem.Pool, InputRounding.Integer);
        double codes = problem.Distance([.. Enumerable.Range(0, 400).Select(r => (float)problem.Exact(r, rounded).Sum)]);
        Assert.True(30 * tables < codes, $"{tables}, {codes}");
    }

    [Theory, InlineData(0f), InlineData(1e-25f), InlineData(1e30f), InlineData(float.NaN), InlineData(float.PositiveInfinity)]
    public void Inputs_of_any_size(float size)
    {
        using Problem problem = new("Vector8x256", 256, 8 * 40);
        float[] before = problem.Multiply(default);
        foreach (ref float x in problem.X.Row(0)) x *= size;
        problem.X.Changed();
        float[] y = problem.Multiply(default);
        for (int r = 0; r < y.Length; r++)
            if (float.IsFinite(size)) Assert.Equal(before[r] * size, y[r], Math.Abs(before[r] * size) * 1e-3f + size * 1e-3f);
            else Assert.True(float.IsNaN(y[r]));
    }

    /// <summary>With 8-bit inputs asked for it is their product; with floats asked for nothing is rounded.</summary>
    [Theory, InlineData("int8"), InlineData("int4-g32"), InlineData("float")]
    public void Inputs_are_rounded_as_asked(string rounding)
    {
        using Problem problem = new("Vector8x256", 300, 8 * 64);
        var asked = InputRounding.Parse(rounding);
        var y = new float[300];
        fixed (float* p = y) MatrixProduct.Multiply(problem.Weight, problem.X, p, problem.Pool, asked);
        float* rounded = problem.X.Rounded(problem.Pool, asked);
        problem.Check(y, asked == InputRounding.None ? null : problem.Tiles.Products, rounded);
    }

    private sealed class Problem : IDisposable
    {
        /// <summary>Rows that codebooks are learned from.</summary>
        private const int Learned = 32;

        private readonly Lazy<VectorTiles> _tiles;

        public Problem(string name, int rows, int columns)
        {
            var random = new Random(rows * columns);
            var weights = new float[rows * columns];
            for (int i = 0; i < weights.Length; i++) weights[i] = (float)(random.NextDouble() - 0.5) * (1 + i / columns % 3);
            Format format = TestMatrix.Learned(name, weights[..(Learned * columns)], Learned);
            Weight = Weight.Allocate("w", format, rows, columns);
            for (int r = 0; r < rows; r++) format.Encode(weights.AsSpan(r * columns, columns), default, Weight.Row(r));
            X.Resize(1, columns);
            foreach (ref float v in X.Row(0)) v = (float)(random.NextDouble() - 0.5);
            _tiles = new(() => VectorTiles.Pack(Weight, Pool));
            Assert.True(VectorTiles.IsFor(Weight));
        }

        public Weight Weight { get; }
        public Activation X { get; } = new();
        /// <summary>Of one worker: an emulator is of its thread.</summary>
        public WorkerPool Pool { get; } = new(1);
        public VectorTiles Tiles => _tiles.Value;

        public float[] Multiply(VectorKernel.Code code, WorkerPool? pool = null)
        {
            var y = new float[Weight.Rows];
            fixed (float* p = y) VectorKernel.Multiply(Tiles, X.Floats, p, pool ?? Pool, code);
            return y;
        }

        /// <param name="y">The product to check.</param>
        /// <param name="products">Whose tables' rounding is allowed; null allows only that of float32.</param>
        /// <param name="x">Instead of the input.</param>
        public void Check(float[] y, PartialProducts? products, float* x = null)
        {
            if (x == null) x = X.Floats;
            (double most, double expected) = products is null ? default : Errors(products, x);
            double squares = 0;
            for (int r = 0; r < y.Length; r++)
            {
                float scale = products is null ? 1 : Scale(r);
                (double sum, double size) = Exact(r, x);
                double error = Math.Abs(sum - y[r]);
                Assert.True(error <= 2e-6 * size + scale * most, $"row {r}: {y[r]} for {sum}");
                squares += Math.Pow(Math.Max(0, error - 2e-6 * size) / scale, 2);
            }
            Assert.True(products is null || Math.Sqrt(squares / y.Length) <= expected, $"{Math.Sqrt(squares / y.Length)} of {expected}");
        }

        /// <summary>The product of a row, and that of all magnitudes.</summary>
        public (double Sum, double Size) Exact(int row, float* x)
        {
            var w = new float[Weight.Columns];
            Weight.ReadRow(row, w);
            double sum = 0, size = 0;
            for (int i = 0; i < w.Length; i++) (sum, size) = (sum + (double)w[i] * x[i], size + Math.Abs((double)w[i] * x[i]));
            return (sum, size);
        }

        /// <summary>From the exact product, a root of a mean square.</summary>
        public double Distance(float[] y)
        {
            double squares = 0;
            for (int r = 0; r < y.Length; r++) squares += Math.Pow(y[r] - Exact(r, X.Floats).Sum, 2);
            return Math.Sqrt(squares / y.Length);
        }

        private float Scale(int row) => Tiles.Scales == null ? 1 : Tiles.Scales[row];

        /// <summary>What the remarks of <see cref="PartialProducts"/> allow: the most, and the most that is expected.</summary>
        private static (double Most, double Expected) Errors(PartialProducts products, float* x)
        {
            var units = new float[products.Blocks];
            var numbers = new short[products.Columns];
            var tables = new byte[products.Places * PartialProducts.TableBytes];
            fixed (short* n = numbers)
            fixed (float* u = units)
            fixed (byte* t = tables)
                products.Make(x, 0, products.Blocks, n, u, t, null);
            double most = 0, variance = 0;
            for (int b = 0; b < units.Length; b++)
            {
                most += 3.4 * units[b] * products.PlacesOf(b);
                variance += (double)units[b] * units[b] * products.PlacesOf(b) / 4;
            }
            return (most, Math.Sqrt(variance));
        }

        public void Dispose()
        {
            X.Dispose();
            Pool.Dispose();
        }
    }
}
