using Nibble.Core.Formats;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Core.Kernels;

internal static unsafe partial class PairKernel
{
    // Weights that were packed in 12 bits.

    /// <summary>Writes y = x Wᵀ, x being [tokens, columns] and y [tokens, rows].</summary>
    public static void Multiply(FloatTiles w, Activation x, float* y, WorkerPool pool)
    {
        if (AreMany(x.Tokens, w.Columns) && AmxPairs.Instance is { } code) Multiply(code, new Matrix(w), x, y, pool);
        else if (!AreFew(x.Tokens, w.Columns)) Multiply(PairPanel.Instance!, w, x, y, pool);
        else MultiplyFew(FloatTile.For(x.Tokens) ?? throw new InvalidOperationException("code of other kinds could be made executable, this one not"), w, x, y, pool);
    }

    /// <summary>Writes y = x Wᵀ, x being [tokens, columns] and y [tokens, rows].</summary>
    public static void Multiply(PairPanel panel, FloatTiles w, Activation x, float* y, WorkerPool pool) => Multiply(panel, new Matrix(w), x, y, pool);

    private static void Add<TProducts>(TProducts products, FloatTiles w, int row, uint* weights, float* sums) where TProducts : struct, IProducts
    {
        int pairs = w.Columns / 2;
        for (int first = 0; first < pairs; first += Stretch)
        {
            int count = Math.Min(Stretch, pairs - first);
            w.Unpack(FloatPairs.Instance, row / FloatTiles.TileRows, first, count, weights);
            products.Add(weights, first, count, sums);
        }
    }

    /// <summary>Writes y = x Wᵀ, x being [tokens, columns] and y [tokens, rows].</summary>
    /// <param name="code">Made for the number of tokens.</param>
    /// <param name="w">Whole lines of columns.</param>
    public static void MultiplyFew(FloatTile code, FloatTiles w, Activation x, float* y, WorkerPool pool)
    {
        x.MakePairs(pool, InputPairs.Lines(x.Tokens, 1));
        var job = new TilesJob { Code = code, Tiles = w, X = x, Y = y };
        pool.Run(ref job, w.Tiles, MatrixProduct.Least(w.TileBytes, x.Tokens));
    }

    private struct TilesJob : IRangeJob
    {
        public FloatTile Code;
        public FloatTiles Tiles;
        public Activation X;
        public float* Y;

        public readonly void Run(int from, int to)
        {
            float* sums = stackalloc float[PairRows.MostTokens * FloatTiles.TileRows];
            var arguments = new FloatTile.Arguments { Inputs = (ushort*)X.Pairs, Sums = sums, Lines = Tiles.Columns / PairRows.LineColumns };
            for (int tile = from; tile < to; tile++)
            {
                arguments.Tile = Tiles.Tile(tile);
                Code.Multiply(ref arguments);
                foreach (FloatTiles.Outlier outlier in Tiles.OutliersOf(tile))
                    for (int t = 0; t < X.Tokens; t++) sums[t * FloatTiles.TileRows + outlier.Row] += outlier.Value * Input(t, outlier.Column);
                Store(sums, X.Tokens, Tiles.Rows, Y, tile * FloatTiles.TileRows);
            }
        }

        private readonly float Input(int token, int column)
        {
            (int line, int within) = Math.DivRem(column, PairRows.LineColumns);
            ushort bits = ((ushort*)X.Pairs)[((nint)line * X.Tokens + token) * PairRows.LineColumns + within];
            return BitConverter.Int32BitsToSingle(bits << 16);
        }
    }

    /// <summary>Writes 32 rows as pairs of bfloat16, [pairs, 32 rows]; rows beyond the last repeat it.</summary>
    /// <returns>False if the numbers have bits that bfloat16 has not.</returns>
    public static bool TakeBFloat16(Weight w, int row, int pairs, uint* weights)
    {
        if (w.Format == FloatFormat.BF16) Take<BFloat16Pairs>(w, row, 0, pairs, weights);
        else if (Take<HalfPairs>(w, row, 0, pairs, weights)) return false;
        return true;
    }
}
