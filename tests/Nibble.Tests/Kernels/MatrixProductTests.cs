using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Tests.Formats;
using Nibble.Tests.Kernels.Generated;
using Nibble.Tests.Memory;

namespace Nibble.Tests.Kernels;

/// <summary>Every kernel against decode-and-multiply in float64.</summary>
public sealed unsafe class MatrixProductTests
{
    /// <summary>The list, a group that chunks of 32 columns would cross, and other parameters of linear formats.</summary>
    public static TheoryData<string> Formats => new([.. Format.All.Select(f => f.Name), "Linear4-g48", "Linear4-g16", "Linear4-min", "Linear3-row", "Fixed4", "Fixed8-g64", "Linear4-sym-row", "FP4-row", "FP4-f32", "Pot3-g256", "F8_E4M3-g64", "F8_E5M2-row"]);

    [Theory, MemberData(nameof(Formats))]
    public void The_product_is_decode_and_multiply(string name)
    {
        using var pool = new WorkerPool(2);
        foreach (Case c in Case.All(Format.Parse(name)))
        {
            using Problem problem = new(c);
            var y = new float[c.Tokens * c.Rows];
            fixed (float* p = y) MatrixProduct.Multiply(problem.Weight, problem.X, p, pool);
            problem.Check(y, PackedMatrix.CanPack(problem.Weight.Format) || problem.LooksLevelsUp, $"{c}");
        }
    }

    /// <summary>Large enough that workers take over parts from each other, with what comes next given.</summary>
    [Theory, InlineData("Q4_0"), InlineData("Q4_K"), InlineData("F16"), InlineData("F32")]
    public void Products_are_the_same_to_the_bit_on_any_number_of_workers(string name)
    {
        foreach (int tokens in (int[])[1, 3])
        {
            using Problem problem = new(new Case(Format.Parse(name), 2011, 1024, tokens));
            float[]? expected = null;
            foreach (int workers in (int[])[1, 2, 3, 5])
                for (int turn = 0; turn < 3; turn++)
                {
                    using var pool = new WorkerPool(workers);
                    var y = new float[tokens * 2011];
                    fixed (float* p = y) MatrixProduct.Multiply(problem.Weight, problem.X, p, pool, name == "F16" ? InputRounding.BFloat16 : null, next: [problem.Weight.Range]);
                    Assert.Equal(expected ??= y, y);
                }
        }
    }

    [Theory, MemberData(nameof(Formats))]
    public void Every_instruction_set_gives_the_same(string name)
    {
        using var pool = new WorkerPool(1);
        foreach (Case c in Case.All(Format.Parse(name)))
        {
            using Problem problem = new(c);
            if (!PackedMatrix.CanPack(problem.Weight.Format)) continue;
            problem.X.MakeCodes(pool);
            Run<PortableDot>(problem, pool);
            if (Avx2Dot.IsSupported) Run<Avx2Dot>(problem, pool);
            if (VnniDot.IsSupported) Run<VnniDot>(problem, pool);
            if (c is { Tokens: > 2 or 1, Rows: > 1 }) RunGenerated(problem, pool);
        }
    }

    /// <summary>Groups of tokens whose sizes differ by one, tiles alone and in twos, emulated as both systems call them and run where the processor can.</summary>
    [Theory, InlineData("Q4_0"), InlineData("Q8_0"), InlineData("Q5_1"), InlineData("Q2_K"), InlineData("Q3_K"), InlineData("Q4_K"), InlineData("Q6_K")]
    [InlineData("IQ4_XS"), InlineData("IQ3_XXS"), InlineData("IQ2_XS"), InlineData("IQ1_S"), InlineData("NVFP4"), InlineData("MXFP4"), InlineData("TQ2_0"), InlineData("FP4"), InlineData("FP4-row")]
    [InlineData("Linear4"), InlineData("Linear1"), InlineData("Trellis2")]
    public void Generated_code_takes_any_number_of_tokens(string name)
    {
        using var pool = new WorkerPool(1);
        foreach (int tokens in (int[])[2, 3, 4, 5, 6, 8, 9, 11, 19])
        {
            using Problem problem = new(new Case(Format.Parse(name), 49, 768, tokens));
            problem.X.MakeCodes(pool);
            PackedKernel kernel = PackedKernel.WithDot<PortableDot>(problem.Weight.Format);
            if (WideTile.IsInUse)
            {
                kernel.WideTile = (size, tiles) => WideTile.For(kernel.Shape, size, tiles);
                Run(problem, pool, kernel, "generated");
            }
            kernel.WideTile = (size, tiles) => Emulator.Tile(kernel.Shape, size, tiles, windows: tokens % 2 == 0);
            Run(problem, pool, kernel, "emulated");
        }
    }

    /// <summary>Once the weight is packed and there is code for such a number of tokens.</summary>
    [Theory, InlineData("Q4_0"), InlineData("Q8_0"), InlineData("Q2_K"), InlineData("Q4_K"), InlineData("Q6_K"), InlineData("Linear4"), InlineData("NF4"), InlineData("Trellis2")]
    public void A_product_of_codes_allocates_nothing(string name)
    {
        using var pool = new WorkerPool(1);
        foreach (int tokens in (int[])[1, 4, 19])
        {
            using Problem problem = new(new Case(Format.Parse(name), 49, 768, tokens));
            using var y = new NativeBuffer(49 * tokens * sizeof(float));
            Multiply();
            Assert.Equal(0, Allocations.Of(Multiply));

            void Multiply()
            {
                for (int i = 0; i < 10; i++)
                {
                    problem.X.Changed();
                    MatrixProduct.Multiply(problem.Weight, problem.X, (float*)y.Pointer, pool, InputRounding.Integer);
                }
            }
        }
    }

    /// <summary>The kernel that reads a trellis in place, against decoding and against the packed tiles.</summary>
    [Theory, InlineData("Trellis1"), InlineData("Trellis2"), InlineData("Trellis3"), InlineData("Trellis4"), InlineData("Trellis3-g128-f32"), InlineData("Trellis2-g64")]
    public void A_trellis_is_multiplied_in_place(string name)
    {
        using var pool = new WorkerPool(1);
        foreach (Case c in Case.All(Format.Parse(name)))
        {
            using Problem problem = new(c);
            problem.X.MakeCodes(pool);
            var packed = new float[c.Tokens * c.Rows];
            PackedMatrix matrix = PackedMatrix.Pack(problem.Weight, pool);
            matrix.Kernel.Prepare(problem.X, pool);
            fixed (float* p = packed) matrix.Kernel.Multiply(matrix, problem.X, p, 0, matrix.Tiles);
            int bits = ((TrellisFormat)problem.Weight.Format).Bits;
            foreach (bool windows in (bool[])[false, true]) Walk(problem, packed, tokens => Emulator.Trellis(bits, tokens, windows), $"{c}, emulated, Windows: {windows}");
            if (TrellisRows.For(bits, 1) is not null) Walk(problem, packed, tokens => TrellisRows.For(bits, tokens)!, $"{c}, generated");
            if (Avx2Dot.IsSupported && c.Tokens == 1 && bits > 1) Walk(problem, packed, null, $"{c}, 256 bits");
        }
    }

    private static void Walk(Problem problem, float[] packed, Func<int, TrellisRows>? codeFor, string message)
    {
        Case c = problem.Case;
        var y = new float[c.Tokens * c.Rows];
        fixed (float* p = y)
            if (codeFor is null) TrellisKernel.MultiplyNarrow(problem.Weight, problem.X, p, 0, c.Rows);
            else TrellisKernel.MultiplyWide(problem.Weight, problem.X, p, 0, c.Rows, codeFor);
        problem.Check(y, packed: true, message);
        for (int i = 0; i < y.Length; i++) Assert.Equal(packed[i], y[i], 1e-3 * (1 + Math.Abs(packed[i])));
    }

    /// <summary>Every state of a trellis, by look-ups of its halves.</summary>
    [Theory, InlineData(1), InlineData(2), InlineData(3), InlineData(4)]
    public void Generated_code_reads_the_numbers_of_rings(int bits)
    {
        const int rings = 300;
        var bytes = new byte[rings * TrellisCode.Bytes(bits)];
        new Random(bits).NextBytes(bytes);
        var expected = new sbyte[rings * TrellisCode.Length];
        for (int i = 0; i < expected.Length; i++)
        {
            (int ring, int t) = Math.DivRem(i, TrellisCode.Length);
            int state = 0;
            for (int b = 0; b < TrellisCode.StateBits; b++)
            {
                int bit = (bits * t + b) % (TrellisCode.Length * bits);
                state |= (bytes[ring * TrellisCode.Bytes(bits) + bit / 8] >> (bit % 8) & 1) << b;
            }
            expected[i] = (sbyte)TrellisCode.Number((uint)state);
        }
        foreach (TrellisRows? code in (TrellisRows?[])[Emulator.Trellis(bits, 0), TrellisRows.For(bits, 0)])
        {
            var numbers = new sbyte[expected.Length];
            fixed (byte* from = bytes)
            fixed (sbyte* to = numbers)
                code?.Read(from, rings, to);
            if (code is not null) Assert.Equal(expected, numbers);
        }
    }

    /// <summary>The generated code, emulated where the processor lacks it: equal to the bit to what 256 bits sum in 32-bit lanes but for two scales a chunk.</summary>
    private static void RunGenerated(Problem problem, WorkerPool pool)
    {
        PackedKernel kernel = PackedKernel.For(problem.Weight.Format);
        kernel.WideTile = (tokens, tiles) => WideTile.For(kernel.Shape, tokens, tiles) ?? Emulator.Tile(kernel.Shape, tokens, tiles, windows: problem.Case.Columns > 1024);
        float[] y = Run(problem, pool, kernel, "generated code");
        if (problem.Case.Tokens == 1 && kernel.Parts == 1) Assert.Equal(Run<PortableDot>(problem, pool), y);
    }

    [Theory, InlineData("NF4"), InlineData("Log4"), InlineData("Log2"), InlineData("NF4-row"), InlineData("Log3-g128"), InlineData("Log5"), InlineData("Log6-row")]
    [InlineData("Log7"), InlineData("Log8"), InlineData("Log8-tensor"), InlineData("Log5-b1.5"), InlineData("Pot6")]
    public void Levels_are_looked_up_alike_on_every_instruction_set(string name)
    {
        using var pool = new WorkerPool(1);
        foreach (int columns in (int[])[256, 1280])
        {
            using Problem problem = new(new Case(Format.Parse(name).ForColumns(columns), 47, columns, 1));
            Assert.True(problem.LooksLevelsUp);
            problem.X.MakeCodes(pool);
            LevelMatrix matrix = LevelMatrix.Pack(problem.Weight, pool);
            Look(problem, matrix, null, portable: true, $"{name}, portable");
            Look(problem, matrix, null, portable: false, $"{name}, 256 bits");
            foreach (bool windows in (bool[])[false, true])
                Look(problem, matrix, Emulator.Levels(matrix.IsSmall, windows), portable: false, $"{name}, emulated, Windows: {windows}");
            Look(problem, matrix, WideLevels.For(matrix.IsSmall), portable: false, $"{name}, generated");
        }
    }

    /// <summary>Lanes as rows, where one table serves all: emulated as both systems call the code, and run where the processor can.</summary>
    [Theory, InlineData("NF4"), InlineData("NF4-row"), InlineData("NF4-f32"), InlineData("NF4-g128-s8"), InlineData("NF4-tensor"), InlineData("Log4-tensor"), InlineData("Log4-b1.5"), InlineData("Log3-b1.3")]
    public void One_table_of_levels_is_looked_up_alike_on_every_instruction_set(string name)
    {
        using var pool = new WorkerPool(1);
        foreach (int columns in (int[])[256, 1280])
        {
            using Problem problem = new(new Case(Format.Parse(name).ForColumns(columns), 47, columns, 1));
            Assert.True(LevelTiles.IsFor(problem.Weight));
            problem.X.MakeCodes(pool);
            LevelTiles.Prepare(problem.X, pool);
            LevelTiles tiles = LevelTiles.Pack(problem.Weight, pool);
            foreach (bool windows in (bool[])[false, true]) Look(problem, tiles, Emulator.LevelTile(tiles.ScaleBytes, windows), $"{name}, emulated, Windows: {windows}");
            if (LevelTiles.CanPack(problem.Weight)) Look(problem, tiles, LevelTile.For(tiles.ScaleBytes)!, $"{name}, generated");
        }
    }

    private static void Look(Problem problem, LevelTiles tiles, LevelTile code, string message)
    {
        var y = new float[problem.Case.Rows];
        fixed (float* p = y) tiles.Multiply(problem.X, p, 0, tiles.Tiles, code);
        problem.Check(y, packed: true, message);
    }

    private static void Look(Problem problem, LevelMatrix matrix, WideLevels? wide, bool portable, string message)
    {
        var y = new float[problem.Case.Rows];
        fixed (float* p = y) LevelKernel.Multiply(matrix, problem.X, p, 0, matrix.Tiles, wide, portable);
        problem.Check(y, packed: true, message);
    }

    private static float[] Run<TDot>(Problem problem, WorkerPool pool) where TDot : struct, IIntegerDot =>
        Run(problem, pool, PackedKernel.WithDot<TDot>(problem.Weight.Format), typeof(TDot).Name);

    private static float[] Run(Problem problem, WorkerPool pool, PackedKernel kernel, string name)
    {
        PackedMatrix packed = PackedMatrix.Pack(problem.Weight, pool, kernel);
        var y = new float[problem.Case.Tokens * problem.Case.Rows];
        kernel.Prepare(problem.X, pool);
        fixed (float* p = y) kernel.Multiply(packed, problem.X, p, 0, packed.Tiles);
        problem.Check(y, packed: true, $"{name}, {problem.Case}");
        return y;
    }

    private readonly record struct Case(Format Format, int Rows, int Columns, int Tokens)
    {
        public static IEnumerable<Case> All(Format format)
        {
            int block = format.BlockSize;
            int unit = block > 0 && block % 16 == 0 ? block : Math.Max(16, format.Stride);
            foreach (int rows in (int[])[1, 47])
                foreach (int columns in (int[])[unit, (1100 / unit + 1) * unit])
                    foreach (int tokens in (int[])[1, 2, 7])
                        yield return new(format, rows, columns, tokens);
        }
    }

    /// <summary>Random weights in a format and random inputs, with the answer in float64.</summary>
    private sealed class Problem : IDisposable
    {
        public Problem(Case c)
        {
            Case = c;
            var random = new Random(c.GetHashCode());
            var weights = new float[c.Rows * c.Columns];
            for (int i = 0; i < weights.Length; i++) weights[i] = (float)(random.NextDouble() - 0.5) * (1 + i / c.Columns % 3);
            Format format = TestMatrix.Learned(c.Format.Name, weights, c.Rows);
            Weight = Weight.Allocate("w", format, c.Rows, c.Columns);
            for (int r = 0; r < c.Rows; r++) format.Encode(weights.AsSpan(r * c.Columns, c.Columns), default, Weight.Row(r));
            X.Resize(c.Tokens, c.Columns);
            for (int t = 0; t < c.Tokens; t++)
                foreach (ref float v in X.Row(t)) v = (float)(random.NextDouble() - 0.5) * (1 + t);
        }

        public Case Case { get; }
        public Weight Weight { get; }
        public Activation X { get; } = new();

        /// <summary>True if the product is that of <see cref="LevelKernel"/>.</summary>
        public bool LooksLevelsUp => Case.Tokens == 1 && LevelMatrix.CanPack(Weight);

        /// <param name="y">The product to check.</param>
        /// <param name="packed">True if it was computed from the inputs' 8-bit codes.</param>
        /// <param name="message">Said on failure.</param>
        public void Check(float[] y, bool packed, string message)
        {
            var w = new float[Case.Columns];
            for (int r = 0; r < Case.Rows; r++)
            {
                Weight.ReadRow(r, w);
                for (int t = 0; t < Case.Tokens; t++)
                {
                    double sum = 0, size = 0, slack = 0;
                    for (int i = 0; i < w.Length; i++)
                    {
                        double term = (double)w[i] * Input(t, i, packed);
                        sum += term;
                        size += Math.Abs(term);
                        if (LooksLevelsUp) slack += HalfStep(r, i) * Math.Abs(Input(t, i, packed));
                    }
                    double error = Math.Abs(sum - y[t * Case.Rows + r]);
                    Assert.True(error <= 2e-6 * size + slack + 1e-30, $"{message}: row {r}, token {t}: {y[t * Case.Rows + r]} for {sum}");
                }
            }
        }

        /// <summary>How far a level may be off: half a whole number, of which the largest level of its table is 2015, or 4095 where signs are apart.</summary>
        private double HalfStep(int row, int column)
        {
            Format format = Weight.Format;
            (int block, int at) = Math.DivRem(column, format.BlockSize);
            (float scale, int table) = format.LevelsAt(Weight.Row(row).Slice(block * format.BlockBytes, format.BlockBytes), at);
            double largest = 0;
            foreach (float level in format.LevelTable(table)) largest = Math.Max(largest, Math.Abs((double)level));
            return scale * largest / (format.CodeCount > 16 ? 4095 : 2015) / 2;
        }

        private double Input(int token, int column, bool packed) => packed
            ? (double)X.Scales[token * X.Chunks + column / 32] * X.Codes[token * X.Chunks * 32 + column]
            : X.Row(token)[column];

        public void Dispose() => X.Dispose();
    }
}
