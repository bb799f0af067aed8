using Nibble.Core.Formats;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Core.Kernels;

internal static unsafe partial class PairKernel
{
    // Sixteen tokens or more, where the processor multiplies matrices.

    /// <summary>Whether so many tokens go to <see cref="AmxPairs"/>, where there is such code.</summary>
    public static bool AreMany(int tokens, int columns) => tokens >= Amx.Rows && columns % AmxPairs.LineColumns == 0;

    /// <summary>Tokens from which it pays to make pairs of packed weights.</summary>
    public const int ManyPacked = 128;

    /// <summary>Whether packed weights are made pairs of, for so many tokens.</summary>
    public static bool HandlesPacked(Weight w, int tokens) =>
        tokens >= ManyPacked && w.Columns % AmxPairs.LineColumns == 0 && PackedMatrix.CanPack(w.Format) && AmxPairs.Instance is not null;

    /// <summary>Writes y = x Wᵀ, x being [tokens, columns] and y [tokens, rows].</summary>
    /// <param name="code">What multiplies.</param>
    /// <param name="w">Floats of 16 bits, whole lines of columns.</param>
    public static void Multiply(AmxPairs code, Weight w, Activation x, float* y, WorkerPool pool) => Multiply(code, new Matrix(w), x, y, pool);

    /// <summary>Writes y = x Wᵀ, weights and inputs rounded to bfloat16, x being [tokens, columns] and y [tokens, rows].</summary>
    /// <param name="code">What multiplies.</param>
    /// <param name="w">Whole lines of columns.</param>
    public static void MultiplyPacked(AmxPairs code, PackedMatrix w, Activation x, float* y, WorkerPool pool) => Multiply(code, new Matrix(w), x, y, pool);

    private static void Multiply(AmxPairs code, Matrix matrix, Activation x, float* y, WorkerPool pool)
    {
        x.MakePairs(pool, InputPairs.Lines(x.Tokens, AmxPairs.Tokens));
        Run(new AmxProducts(code, x), matrix, x, y, pool);
    }

    /// <summary>Of two tiles.</summary>
    private static void Add<TProducts>(TProducts products, PackedMatrix w, int row, uint* weights, float* sums) where TProducts : struct, IProducts
    {
        const int stretch = Stretch * 2 / Activation.Chunk;
        int first = row / PackedMatrix.TileRows, tiles = Math.Min(PairPanel.Rows / PackedMatrix.TileRows, w.Tiles - first);
        byte** tile = stackalloc byte*[tiles];
        for (int i = 0; i < tiles; i++) tile[i] = w.Tile(first + i);
        for (int chunk = 0; chunk < w.Chunks; chunk += stretch)
        {
            int chunks = Math.Min(stretch, w.Chunks - chunk), pairs = Activation.Chunk / 2;
            for (int i = 0; i < tiles; i++)
                w.Kernel.UnpackPairs(tile[i] + (nint)(chunk / w.Kernel.RunChunks) * w.Kernel.RunBytes, chunks, weights + i * PackedMatrix.TileRows);
            products.Add(weights, chunk * pairs, chunks * pairs, sums);
        }
    }

    private readonly struct AmxProducts(AmxPairs code, Activation x) : IProducts
    {
        public int Tokens => AmxPairs.Tokens;

        public void Add(uint* weights, int first, int count, float* sums)
        {
            int padded = InputPairs.Padded(x.Tokens, AmxPairs.Tokens);
            const int line = AmxPairs.LineColumns;
            var arguments = new AmxPairs.Arguments { Weights = weights, Stride = padded * line * sizeof(ushort), Lines = count * 2 / line, Configuration = AmxPairs.Configuration };
            for (int token = 0; token < x.Tokens; token += AmxPairs.Tokens)
            {
                arguments.Inputs = (ushort*)x.Pairs + ((nint)first * 2 / line * padded + token) * line;
                arguments.Sums = sums + token * PairPanel.Rows;
                arguments.Last = token + AmxPairs.Tokens >= x.Tokens ? 1 : 0;
                code.Multiply(ref arguments);
                arguments.Configuration = null;
            }
        }
    }
}
