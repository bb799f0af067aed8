using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Core.Kernels;

/// <summary>y = x Wᵀ for <see cref="VectorTiles"/>: tables of <see cref="PartialProducts"/> are made, by all workers, then looked up in.</summary>
internal static unsafe class VectorKernel
{
    [ThreadStatic] private static GrowingBuffer? t_tables, t_sums;

    /// <param name="tiles">[rows, columns].</param>
    /// <param name="x">[tokens, columns].</param>
    /// <param name="tokens">At least 1.</param>
    /// <param name="y">[tokens, rows], overwritten.</param>
    /// <param name="pool">The workers that share blocks of places, then rows.</param>
    public static void Multiply(VectorTiles tiles, float* x, int tokens, float* y, WorkerPool pool)
    {
        var code = Code.For(tiles.Products.Dimension);
        for (int t = 0; t < tokens; t++) Multiply(tiles, x + (nint)t * tiles.Products.Columns, y + (nint)t * tiles.Rows, pool, code);
    }

    /// <summary>What is generated; nulls compute the same without.</summary>
    internal readonly record struct Code(EntryProducts? Products, VectorTile? One, VectorTile? Together)
    {
        public static Code For(int dimension) => new(EntryProducts.For(dimension), VectorTile.For(1), VectorTile.For(VectorTile.Together));
    }

    internal static void Multiply(VectorTiles tiles, float* x, float* y, WorkerPool pool, Code code)
    {
        PartialProducts products = tiles.Products;
        GrowingBuffer buffer = t_tables ??= new GrowingBuffer();
        nint tableBytes = (nint)products.Places * PartialProducts.TableBytes;
        buffer.Reserve(tableBytes + products.Blocks * sizeof(float) + products.Columns * sizeof(short));
        var units = (float*)(buffer.Pointer + tableBytes);
        var make = new MakeJob { Products = products, X = x, Numbers = (short*)(units + products.Blocks), Units = units, Tables = buffer.Pointer, Code = code.Products };
        pool.Run(ref make);
        var add = new AddJob { Tiles = tiles, Tables = buffer.Pointer, Units = units, Y = y, Code = code };
        pool.Run(ref add);
    }

    private struct MakeJob : IParallelJob
    {
        public PartialProducts Products;
        public float* X, Units;
        public short* Numbers;
        public byte* Tables;
        public EntryProducts? Code;

        public readonly void Run(int worker, int workers)
        {
            (int from, int to) = ParallelRows.Share(Products.Blocks, worker, workers);
            Products.Make(X, from, to, Numbers, Units, Tables, Code);
        }
    }

    private struct AddJob : IParallelJob
    {
        public VectorTiles Tiles;
        public byte* Tables;
        public float* Units, Y;
        public Code Code;

        public readonly void Run(int worker, int workers)
        {
            (int from, int to) = ParallelRows.Share(Tiles.Tiles, worker, workers);
            if (from == to) return;
            GrowingBuffer buffer = t_sums ??= new GrowingBuffer();
            int count = (to - from) * VectorTiles.TileRows;
            buffer.Reserve((nint)count * sizeof(float));
            var sums = (float*)buffer.Pointer;
            new Span<float>(sums, count).Clear();
            for (int block = 0; block < Tiles.Products.Blocks; block++) AddBlock(block, from, to, sums);
            int first = from * VectorTiles.TileRows, rows = Math.Min(count, Tiles.Rows - first);
            if (Tiles.Scales == null) new Span<float>(sums, rows).CopyTo(new Span<float>(Y + first, rows));
            else
                for (int r = 0; r < rows; r++) Y[first + r] = Tiles.Scales[first + r] * sums[r];
        }

        private readonly void AddBlock(int block, int from, int to, float* sums)
        {
            int places = Tiles.Products.PlacesOf(block), pairs = (to - from) / VectorTile.Together;
            var arguments = new VectorTile.Arguments
            {
                Codes = Tiles.Codes(block, from),
                Places = places,
                Turns = pairs,
                Tables = Tables + (nint)block * Tiles.Products.BlockPlaces * PartialProducts.TableBytes,
                Sums = sums,
                Unit = Units[block],
                Bias = -PartialProducts.Bias * places,
            };
            if (pairs > 0) Add(Code.Together, VectorTile.Together, ref arguments);
            int taken = pairs * VectorTile.Together;
            arguments.Codes += taken * places * VectorTiles.TileRows;
            arguments.Sums += taken * VectorTiles.TileRows;
            arguments.Turns = to - from - taken;
            if (arguments.Turns > 0) Add(Code.One, 1, ref arguments);
        }
    }

    private static void Add(VectorTile? code, int together, ref VectorTile.Arguments arguments)
    {
        if (code is not null) code.Add(ref arguments);
        else AddPortable(arguments, together);
    }

    /// <summary>What <see cref="VectorTile"/> does.</summary>
    private static void AddPortable(VectorTile.Arguments a, int together)
    {
        for (int i = 0; i < a.Turns * together * VectorTiles.TileRows; i++)
        {
            byte* code = a.Codes + i / VectorTiles.TileRows * a.Places * VectorTiles.TileRows + VectorTiles.PlaceOf(i), table = a.Tables;
            int sum = a.Bias;
            for (int p = 0; p < a.Places; p++, code += VectorTiles.TileRows, table += PartialProducts.TableBytes)
                sum += table[*code] + (table[PartialProducts.Entries + *code] << 8);
            a.Sums[i] = MathF.FusedMultiplyAdd(sum, a.Unit, a.Sums[i]);
        }
    }
}
