using System.Runtime.CompilerServices;
using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Core.Kernels;

/// <summary>One of several products of the same input.</summary>
/// <param name="weight">[rows, columns].</param>
/// <param name="y">[tokens, rows], overwritten.</param>
public readonly unsafe struct Product(Weight weight, float* y)
{
    public Weight Weight { get; } = weight;
    public float* Y { get; } = y;
}

/// <summary>What follows a product row by row.</summary>
public interface IRowsJob : IRangeJob
{
    /// <summary>The length of the range: units of equally many rows of the product's first matrix; 0 if nothing follows.</summary>
    int Units { get; }

    /// <summary>Says where results lie from now on.</summary>
    /// <param name="results">Of each product, float*: where the first token's number of the first row would be; there need not be all rows.</param>
    /// <param name="stride">Floats from a token's numbers to the next one's.</param>
    void Read(ReadOnlySpan<nint> results, int stride);
}

/// <summary>Nothing follows.</summary>
public readonly struct NothingMore : IRowsJob
{
    public int Units => 0;

    public void Read(ReadOnlySpan<nint> results, int stride) { }

    public void Run(int from, int to) { }
}

public static unsafe partial class MatrixProduct
{
    /// <summary>Products that <see cref="TryMultiply"/> takes at most.</summary>
    public const int MostTogether = ReadAhead.MostRanges;

    /// <summary>
    /// Several products of one input in one parallel region, of which a part is the same part of every matrix, and what follows the
    /// rows of a part, done by whoever has computed them: they are then in its cache, and nobody waits in between. Where something
    /// follows, the results are its own: they need not come to y.
    /// </summary>
    /// <param name="products">At most <see cref="MostTogether"/>.</param>
    /// <param name="after">Run for each part whose rows are there, of all tokens.</param>
    /// <param name="next">What is multiplied after that, if it is known: workers that wait ask memory for it.</param>
    /// <returns>False if a product has another kernel, or units are not whole tiles: then nothing was done.</returns>
    public static bool TryMultiply<TAfter>(
        ReadOnlySpan<Product> products, Activation x, WorkerPool pool, InputRounding? rounding, TAfter after, ReadOnlySpan<MemoryRange> next)
        where TAfter : struct, IRowsJob
    {
        pool.Expect(next);
        if (PairKernel.TryMultiply(products, x, pool, rounding, after)) return true;
        foreach (Product product in products)
            if (!ReadsCodes(product.Weight, x.Tokens, rounding) || product.Weight.Columns != x.Columns) return false;
        int tiles = TilesOf(products[0].Weight), units = after.Units > 0 ? after.Units : tiles;
        if (tiles % units != 0) return false;
        MultiplyPacked(products, x, pool, rounding, units, after);
        return true;
    }

    private static int TilesOf(Weight weight) => (weight.Rows + PackedMatrix.TileRows - 1) / PackedMatrix.TileRows;

    /// <summary>One parallel region over so many units of each matrix.</summary>
    private static void MultiplyPacked<TAfter>(ReadOnlySpan<Product> products, Activation x, WorkerPool pool, InputRounding? rounding, int units, TAfter after)
        where TAfter : struct, IRowsJob
    {
        x.MakeCodes(pool, rounding);
        var job = new PackedJob<TAfter> { Count = products.Length, X = x, Units = units, After = after };
        nint bytes = 0;
        for (int i = 0; i < products.Length; i++)
        {
            PackedMatrix matrix = products[i].Weight.Packed(pool);
            matrix.Kernel.Prepare(x, pool);
            job.Parts[i] = new Part { Matrix = matrix, Y = products[i].Y };
            bytes += (nint)matrix.Bytes;
        }
        pool.Run(ref job, units, Least(Math.Max(1, bytes / units), x.Tokens));
    }

    /// <summary>Whether such a product is one of codes with a <see cref="PackedMatrix"/> that lies in memory, its columns in the order of the input's.</summary>
    internal static bool ReadsCodes(Weight weight, int tokens, InputRounding? rounding) =>
        (rounding is null || rounding.HasCodes) && weight.AsStored == weight && PackedMatrix.CanPack(weight.Format) && weight.Format is not TrellisFormat
        && !(rounding is { IsMixed: true } && PairKernel.HandlesPacked(weight, tokens));

    private struct Part
    {
        public PackedMatrix Matrix;
        public float* Y;
    }

    [InlineArray(MostTogether)]
    private struct Parts
    {
        private Part _first;
    }

    private struct PackedJob<TAfter> : IRangeJob where TAfter : struct, IRowsJob
    {
        public Parts Parts;
        public int Count, Units;
        public Activation X;
        public TAfter After;

        public void Run(int from, int to)
        {
            for (int i = 0; i < Count; i++)
            {
                PackedMatrix matrix = Parts[i].Matrix;
                int fromTile = (int)((long)matrix.Tiles * from / Units), toTile = (int)((long)matrix.Tiles * to / Units);
                if (fromTile < toTile) matrix.Kernel.Multiply(matrix, X, Parts[i].Y, fromTile, toTile);
            }
            After.Run(from, to);
        }
    }
}
