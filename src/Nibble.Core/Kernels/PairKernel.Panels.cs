using System.Runtime.CompilerServices;
using Nibble.Core.Formats;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Core.Kernels;

internal static unsafe partial class PairKernel
{
    // More tokens than a few: 32 rows at a time meet all of them, then what follows these rows is done.

    /// <summary>
    /// Several products of one input, and what follows their rows: it reads the sums of 32 rows while they are in a cache, and nobody else does.
    /// </summary>
    /// <param name="products">At most <see cref="MatrixProduct.MostTogether"/>.</param>
    /// <returns>False if a product has another kernel, rows are not whole panels or nothing follows: then nothing was done.</returns>
    public static bool TryMultiply<TAfter>(ReadOnlySpan<Product> products, Activation x, WorkerPool pool, InputRounding? rounding, TAfter after) where TAfter : struct, IRowsJob
    {
        int rows = products[0].Weight.Rows, panels = rows / PairPanel.Rows;
        if (panels == 0 || rows % PairPanel.Rows != 0 || after.Units == 0 || after.Units % panels != 0) return false;
        foreach (Product product in products)
        {
            Weight w = product.Weight;
            if (w.Rows != rows || w.Columns != x.Columns || w.AsStored != w || !MeetsPanels(w, x.Tokens, rounding)) return false;
        }
        Matrices matrices = default;
        for (int i = 0; i < products.Length; i++)
            matrices[i] = rounding!.IsMixed ? new Matrix(products[i].Weight.Packed(pool)) : Matrix.Of(products[i].Weight);
        if (AreMany(x.Tokens, x.Columns) && AmxPairs.Instance is { } code)
        {
            x.MakePairs(pool, InputPairs.Lines(x.Tokens, AmxPairs.Tokens));
            Run(new AmxProducts(code, x), matrices, products.Length, x, pool, after);
        }
        else
        {
            x.MakePairs(pool, InputPairs.Groups(x.Tokens));
            Run(new PanelProducts(PairPanel.Instance!, x), matrices, products.Length, x, pool, after);
        }
        return true;
    }

    /// <summary>Whether 32 rows of a weight meet so many tokens, rounded so.</summary>
    private static bool MeetsPanels(Weight w, int tokens, InputRounding? rounding) =>
        rounding is { IsMixed: true } ? HandlesPacked(w, tokens) : rounding == InputRounding.BFloat16 && !AreFew(tokens, w.Columns) && Handles(w, tokens);

    /// <summary>A product that goes to y.</summary>
    private static void Run<TProducts>(TProducts products, Matrix matrix, Activation x, float* y, WorkerPool pool) where TProducts : struct, IProducts
    {
        var job = new Job<TProducts> { Products = products, Matrix = matrix, X = x, Y = y };
        pool.Run(ref job);
    }

    private static void Run<TProducts, TAfter>(TProducts products, Matrices matrices, int count, Activation x, WorkerPool pool, TAfter after)
        where TProducts : struct, IProducts where TAfter : struct, IRowsJob
    {
        var job = new TogetherJob<TProducts, TAfter> { Products = products, Matrices = matrices, Count = count, Panels = matrices[0].Rows / PairPanel.Rows, X = x, After = after };
        pool.Run(ref job);
    }

    /// <summary>Weights in one of the ways in which 32 rows become pairs.</summary>
    private readonly struct Matrix
    {
        // One of the three.
        private readonly Weight? _weight;
        private readonly FloatTiles? _tiles;
        private readonly PackedMatrix? _packed;
        private readonly bool _isFirst;

        public Matrix(Weight weight) => (_weight, Rows, _isFirst) = (weight, weight.Rows, weight.IsMultipliedFirst());

        public Matrix(FloatTiles tiles) => (_tiles, Rows) = (tiles, tiles.Rows);

        public Matrix(PackedMatrix packed) => (_packed, Rows) = (packed, packed.Rows);

        /// <summary>Floats of 16 bits, as they are there.</summary>
        public static Matrix Of(Weight weight) => weight.FloatTiles is { } tiles ? new(tiles) : new(weight);

        public int Rows { get; }

        /// <summary>Writes the sums of 32 rows from the given one, or of those that there are.</summary>
        /// <param name="weights">Room for a <see cref="Stretch"/> of pairs.</param>
        /// <param name="sums">[tokens, 32 rows], with room for whole groups of tokens.</param>
        public void Sum<TProducts>(TProducts products, int tokens, int row, uint* weights, float* sums) where TProducts : struct, IProducts
        {
            new Span<float>(sums, tokens * PairPanel.Rows).Clear();
            if (_tiles is not null) Add(products, _tiles, row, weights, sums);
            else if (_packed is not null) Add(products, _packed, row, weights, sums);
            else Add(products, _isFirst ? _weight!.Window(row, Math.Min(PairPanel.Rows, Rows - row)) : _weight!, row, weights, sums);
        }
    }

    [InlineArray(MatrixProduct.MostTogether)]
    private struct Matrices
    {
        private Matrix _first;
    }

    /// <summary>Room for a stretch of weights, and for so many sums.</summary>
    private static uint* Scratch(nint numbers, out float* sums)
    {
        GrowingBuffer scratch = t_scratch ??= new GrowingBuffer();
        scratch.Reserve((numbers + Stretch * PairPanel.Rows) * sizeof(uint));
        sums = (float*)scratch.Pointer + Stretch * PairPanel.Rows;
        return (uint*)scratch.Pointer;
    }

    private struct Job<TProducts> : IParallelJob where TProducts : struct, IProducts
    {
        public TProducts Products;
        public Matrix Matrix;
        public Activation X;
        public float* Y;
        private int _taken;

        public void Run(int worker, int workers)
        {
            int padded = InputPairs.Padded(X.Tokens, Products.Tokens);
            uint* weights = Scratch((nint)padded * PairPanel.Rows, out float* sums);
            // A core that other programs disturb takes fewer.
            for (int row; (row = (Interlocked.Increment(ref _taken) - 1) * PairPanel.Rows) < Matrix.Rows;)
            {
                Matrix.Sum(Products, padded, row, weights, sums);
                Store(sums, X.Tokens, Matrix.Rows, Y, row);
            }
        }
    }

    private struct TogetherJob<TProducts, TAfter> : IParallelJob where TProducts : struct, IProducts where TAfter : struct, IRowsJob
    {
        public TProducts Products;
        public Matrices Matrices;
        public int Count, Panels;
        public Activation X;
        public TAfter After;
        private int _taken;

        public void Run(int worker, int workers)
        {
            int padded = InputPairs.Padded(X.Tokens, Products.Tokens), units = After.Units / Panels;
            nint numbers = (nint)padded * PairPanel.Rows;
            uint* weights = Scratch(numbers * Count, out float* sums);
            Span<nint> results = stackalloc nint[Count];
            for (int panel; (panel = Interlocked.Increment(ref _taken) - 1) < Panels;)
            {
                int row = panel * PairPanel.Rows;
                for (int i = 0; i < Count; i++)
                {
                    Matrices[i].Sum(Products, padded, row, weights, sums + i * numbers);
                    results[i] = (nint)(sums + i * numbers - row);
                }
                TAfter after = After;
                after.Read(results, PairPanel.Rows);
                after.Run(panel * units, (panel + 1) * units);
            }
        }
    }
}
