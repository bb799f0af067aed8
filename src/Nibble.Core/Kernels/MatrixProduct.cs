using Nibble.Core.Formats;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Core.Kernels;

/// <summary>y = x Wᵀ, for a weight in any format.</summary>
/// <remarks>
/// A weight with an integer form is packed by its first product and computed with 8-bit inputs; others are computed in
/// float32 from the bytes as they are stored, but for one token through tables of levels, which is computed with
/// 8-bit inputs too (<see cref="LevelTiles"/>, <see cref="LevelMatrix"/>), and but for few tokens through tables of partial products
/// of 16 bits (<see cref="VectorTiles"/>). Floats of 16 bits are multiplied in pairs with inputs rounded to bfloat16
/// (<see cref="PairKernel"/>). See <see cref="InputRounding"/> for other inputs.
/// </remarks>
public static unsafe partial class MatrixProduct
{
    /// <summary>Bytes of weights that are worth a call of a kernel with one token, and with several.</summary>
    private const int LeastBytes = 128 << 10, LeastBytesOfMany = 256 << 10;

    /// <summary>Rows that one worker has in any case, where they are read as they are stored.</summary>
    private const int Together = 16;

    [ThreadStatic] private static Activation? t_ordered;

    /// <param name="weight">[rows, columns].</param>
    /// <param name="x">[tokens, columns].</param>
    /// <param name="y">[tokens, rows], overwritten.</param>
    /// <param name="pool">The workers that share the rows.</param>
    /// <param name="rounding">How the inputs are rounded; null leaves it to the kernels: 8-bit groups for integers, else floats.</param>
    /// <param name="next">What is multiplied next, if that is known: workers that wait ask memory for it.</param>
    public static void Multiply(Weight weight, Activation x, float* y, WorkerPool pool, InputRounding? rounding = null, ReadOnlySpan<MemoryRange> next = default)
    {
        pool.Expect(next);
        if (x.Columns != weight.Columns)
            throw new ArgumentException($"'{weight.Name}' has {weight.Columns} columns, its input {x.Columns}.", nameof(x));
        if (weight.ColumnOrder is { } order) (weight, x, rounding) = (weight.AsStored, InOrder(x, order), rounding?.InOrder(order));
        else if (weight.Format is RotatedFormat { Rotation: { } rotation })
        {
            if (rounding is { IsStatic: true })
                throw new UnusableInputException($"'{weight.Name}' is stored rotated ({weight.Format}), and its inputs with it; static scales do not suit them, take int8-token or another that is dynamic");
            (weight, x) = (weight.AsStored, x.Rotated(rotation, pool));
        }
        if (rounding is { IsMixed: true } && PairKernel.HandlesPacked(weight, x.Tokens))
        {
            PairKernel.MultiplyPacked(AmxPairs.Instance!, weight.Packed(pool), x, y, pool);
            return;
        }
        if ((rounding is null || rounding.HasCodes) && MultiplyCodes(weight, x, y, pool, rounding)) return;
        if (rounding == InputRounding.BFloat16 && PairKernel.Handles(weight, x.Tokens))
        {
            PairKernel.Multiply(weight, x, y, pool);
            return;
        }
        // Of more tokens, the inputs are laid out anew for each call of the kernel.
        bool isFirst = x.Tokens == 1 && weight.IsMultipliedFirst();
        var job = new FloatJob { Weight = weight, IsFirst = isFirst, X = x.Rounded(pool, rounding), Tokens = x.Tokens, Y = y };
        pool.Run(ref job);
    }

    /// <summary>The product with an input of codes.</summary>
    /// <returns>False if no kernel takes such a weight and number of tokens.</returns>
    private static bool MultiplyCodes(Weight weight, Activation x, float* y, WorkerPool pool, InputRounding? rounding)
    {
        if (TrellisKernel.Handles(weight, x.Tokens))
        {
            x.MakeCodes(pool, rounding);
            var rows = new TrellisJob { Weight = weight, IsFirst = weight.IsMultipliedFirst(), X = x, Y = y };
            pool.Run(ref rows);
        }
        else if (PackedMatrix.CanPack(weight.Format))
        {
            MultiplyPacked([new Product(weight, y)], x, pool, rounding, TilesOf(weight), default(NothingMore));
        }
        else if (x.Tokens == 1 && LevelTiles.CanPack(weight))
        {
            x.MakeCodes(pool, rounding);
            LevelTiles.Prepare(x, pool);
            var tiles = new LevelTileJob { Tiles = weight.PackedLevelTiles(pool), X = x, Y = y };
            pool.Run(ref tiles);
        }
        else if (x.Tokens == 1 && LevelMatrix.CanPack(weight))
        {
            x.MakeCodes(pool, rounding);
            var levels = new LevelJob { Matrix = weight.PackedLevels(pool), X = x, Y = y };
            pool.Run(ref levels);
        }
        else if (VectorTiles.Handles(weight, x.Tokens))
            VectorKernel.Multiply(weight.PackedVectorTiles(pool), x.Rounded(pool, rounding), x.Tokens, y, pool);
        else return false;
        return true;
    }

    /// <summary>Units of a matrix that are worth a call.</summary>
    internal static int Least(nint unitBytes, int tokens) => (int)Math.Max(1, (tokens == 1 ? LeastBytes : LeastBytesOfMany) / unitBytes);

    /// <summary>The input with its columns as a weight stores them.</summary>
    private static Activation InOrder(Activation x, int[] order)
    {
        Activation ordered = t_ordered ??= new Activation();
        ordered.Resize(x.Tokens, x.Columns);
        for (int t = 0; t < x.Tokens; t++)
        {
            Span<float> from = x.Row(t), to = ordered.Row(t);
            for (int i = 0; i < order.Length; i++) to[i] = from[order[i]];
        }
        ordered.Changed();
        return ordered;
    }

    private struct LevelJob : IParallelJob
    {
        public LevelMatrix Matrix;
        public Activation X;
        public float* Y;

        public readonly void Run(int worker, int workers)
        {
            (int from, int to) = ParallelRows.Share(Matrix.Tiles, worker, workers);
            LevelKernel.Multiply(Matrix, X, Y, from, to);
        }
    }

    private struct LevelTileJob : IParallelJob
    {
        public LevelTiles Tiles;
        public Activation X;
        public float* Y;

        public readonly void Run(int worker, int workers)
        {
            (int from, int to) = ParallelRows.Share(Tiles.Tiles, worker, workers);
            Tiles.Multiply(X, Y, from, to);
        }
    }

    private struct TrellisJob : IParallelJob
    {
        public Weight Weight;
        public bool IsFirst;
        public Activation X;
        public float* Y;

        public readonly void Run(int worker, int workers)
        {
            (int from, int to) = ParallelRows.Share(Weight.Rows, worker, workers, Together);
            if (!IsFirst) TrellisKernel.Multiply(Weight, X, Y, from, to);
            else
                foreach ((int first, int end, Weight rows) in Weight.Stretches(from, to, Together)) TrellisKernel.Multiply(rows, X, Y, first, end);
        }
    }

    private struct FloatJob : IParallelJob
    {
        public Weight Weight;
        public bool IsFirst;
        public float* X;
        public int Tokens;
        public float* Y;

        public readonly void Run(int worker, int workers)
        {
            (int from, int to) = ParallelRows.Share(Weight.Rows, worker, workers, Together);
            if (!IsFirst) FloatKernel.Multiply(Weight, X, Tokens, Y, from, to);
            else
                foreach ((int first, int end, Weight rows) in Weight.Stretches(from, to, Together)) FloatKernel.Multiply(rows, X, Tokens, Y, first, end);
        }
    }
}
