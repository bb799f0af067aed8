using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Nibble.Core.Formats;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Core.Kernels;

/// <summary>
/// The product of weights of 16 bits with inputs rounded to bfloat16, where the processor multiplies pairs of them. Weights
/// are exact: a bfloat16 is one number of a pair; an F16 has up to three bits more, and where a stretch of a matrix has any,
/// they are multiplied too, as pairs of their own. A model that was published in bfloat16 has none in F16 either.
/// </summary>
internal static unsafe partial class PairKernel
{
    /// <summary>
    /// Pairs of columns that are laid out at once: 128 KiB of weights, which stay in the second cache. That they come from there
    /// costs less than to put sums away more often.
    /// </summary>
    private const int Stretch = 1024;

    /// <summary>Pairs of a line of the cache, and of the lines of a row that are taken one after the other.</summary>
    private const int Line = 16, Lines = 4 * Line;

    /// <summary>How far ahead rows are asked for, in pairs: of 32 rows that begin a page apart the processor sees no stream.</summary>
    private const int Ahead = 8 * Line;

    [ThreadStatic] private static GrowingBuffer? t_scratch;

    public static bool Handles(Weight w, int tokens) =>
        (w.Format == FloatFormat.F16 || w.Format == FloatFormat.BF16) && PairPanel.Instance is not null
        && (AreFew(tokens, w.Columns) ? w.Rows >= PairRows.RowsOf(tokens) : tokens > 1 && w.Columns % 2 == 0);

    /// <summary>Writes y = x Wᵀ for a weight that it <see cref="Handles"/>, x being [tokens, columns] and y [tokens, rows].</summary>
    public static void Multiply(Weight w, Activation x, float* y, WorkerPool pool)
    {
        if (w.FloatTiles is { } tiles) Multiply(tiles, x, y, pool);
        else if (AreMany(x.Tokens, w.Columns) && AmxPairs.Instance is { } code) Multiply(code, w, x, y, pool);
        else if (!AreFew(x.Tokens, w.Columns)) Multiply(PairPanel.Instance!, w, x, y, pool);
        else MultiplyFew(PairRows.For(w.Format == FloatFormat.F16, x.Tokens)!, w, x, y, pool);
    }

    /// <summary>Writes y = x Wᵀ, x being [tokens, columns] and y [tokens, rows].</summary>
    /// <param name="panel">What multiplies.</param>
    /// <param name="w">Floats of 16 bits, an even number of columns.</param>
    public static void Multiply(PairPanel panel, Weight w, Activation x, float* y, WorkerPool pool) => Multiply(panel, new Matrix(w), x, y, pool);

    private static void Multiply(PairPanel panel, Matrix matrix, Activation x, float* y, WorkerPool pool)
    {
        x.MakePairs(pool, InputPairs.Groups(x.Tokens));
        Run(new PanelProducts(panel, x), matrix, x, y, pool);
    }

    /// <summary>What meets weights that are laid out.</summary>
    private interface IProducts
    {
        /// <summary>That are met at once.</summary>
        int Tokens { get; }

        /// <summary>Adds the products of a stretch, for all tokens.</summary>
        /// <param name="weights">[pairs, 32 rows].</param>
        /// <param name="first">The first pair of the stretch in a row.</param>
        /// <param name="count">Pairs.</param>
        /// <param name="sums">[tokens, 32 rows], with room for whole groups of tokens.</param>
        void Add(uint* weights, int first, int count, float* sums);
    }

    /// <summary>Adds the products of 32 rows from the given one, fewer at the end.</summary>
    private static void Add<TProducts>(TProducts products, Weight w, int row, uint* weights, float* sums) where TProducts : struct, IProducts
    {
        int pairs = w.Columns / 2;
        for (int first = 0; first < pairs; first += Stretch)
        {
            int count = Math.Min(Stretch, pairs - first);
            if (w.Format == FloatFormat.BF16) Take<BFloat16Pairs>(w, row, first, count, weights);
            else if (Take<HalfPairs>(w, row, first, count, weights))
            {
                products.Add(weights, first, count, sums);
                Take<HalfRests>(w, row, first, count, weights);
            }
            products.Add(weights, first, count, sums);
        }
    }

    /// <summary>Writes the sums of 32 rows, or those that there are.</summary>
    private static void Store(float* sums, int tokens, int rows, float* y, int row)
    {
        int count = Math.Min(PairPanel.Rows, rows - row);
        for (int t = 0; t < tokens; t++) new Span<float>(sums + t * PairPanel.Rows, count).CopyTo(new Span<float>(y + (nint)t * rows + row, count));
    }

    private readonly struct PanelProducts(PairPanel panel, Activation x) : IProducts
    {
        public int Tokens => PairPanel.Tokens;

        public void Add(uint* weights, int first, int count, float* sums)
        {
            for (int token = 0; token < x.Tokens; token += PairPanel.Tokens)
            {
                var arguments = new PairPanel.Arguments
                {
                    Weights = weights,
                    Inputs = x.Pairs + first * PairPanel.Tokens + (nint)token * (x.Columns / 2),
                    Sums = sums + token * PairPanel.Rows,
                    Count = count,
                    Wanted = x.Tokens - token,
                };
                panel.Multiply(ref arguments);
            }
        }
    }

    /// <summary>A stretch of 32 rows to [pairs, 32 rows]; rows beyond the last repeat it.</summary>
    /// <returns>True if the numbers have bits that bfloat16 has not.</returns>
    private static bool Take<TPairs>(Weight w, int row, int first, int count, uint* weights) where TPairs : struct, IPairs
    {
        // A row may begin at any even byte of a mapped file, where a load is as good as elsewhere.
        uint** rows = stackalloc uint*[PairPanel.Rows];
        for (int r = 0; r < PairPanel.Rows; r++) rows[r] = (uint*)(w.Data + Math.Min(row + r, w.Rows - 1) * w.RowBytes) + first;
        Vector256<uint> below = default;
        int whole = count & ~3;
        // Eight rows at a time: more might lie in the same set of the first cache.
        for (int lines = 0; lines < whole; lines += Lines)
            for (int r = 0; r < PairPanel.Rows; r += 8)
                for (int line = lines; line < Math.Min(lines + Lines, whole); line += Line)
                {
                    for (int i = 0; i < 8 && Sse.IsSupported; i++) Sse.Prefetch1(rows[r + i] + line + Ahead);
                    for (int p = line; p < Math.Min(line + Line, whole); p += 4) Turn<TPairs>(rows + r, p, weights + p * PairPanel.Rows + r, ref below);
                }
        for (int p = whole; p < count; p++)
            for (int r = 0; r < PairPanel.Rows; r++) weights[p * PairPanel.Rows + r] = TPairs.Upper(Vector256.CreateScalar(rows[r][p]), ref below)[0];
        return (below & Vector256.Create(0xFFFFu)) != Vector256<uint>.Zero;
    }

    /// <summary>Four pairs of eight rows; lower lanes are rows 0 to 3, upper ones 4 to 7.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Turn<TPairs>(uint** rows, int p, uint* to, ref Vector256<uint> below) where TPairs : struct, IPairs => Square.Turn(
        TPairs.Upper(Join(rows[0] + p, rows[4] + p), ref below), TPairs.Upper(Join(rows[1] + p, rows[5] + p), ref below),
        TPairs.Upper(Join(rows[2] + p, rows[6] + p), ref below), TPairs.Upper(Join(rows[3] + p, rows[7] + p), ref below),
        to, PairPanel.Rows);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> Join(uint* lower, uint* upper) => Vector256.Create(Vector128.Load(lower), Vector128.Load(upper));

    /// <summary>Two stored numbers a lane, as two bfloat16.</summary>
    private interface IPairs
    {
        /// <param name="below">Gets the bits of the numbers, of which the lower 16 of each lane have no room in a bfloat16.</param>
        static abstract Vector256<uint> Upper(Vector256<uint> stored, ref Vector256<uint> below);
    }

    private struct BFloat16Pairs : IPairs
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<uint> Upper(Vector256<uint> stored, ref Vector256<uint> below) => stored;
    }

    private struct HalfPairs : IPairs
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<uint> Upper(Vector256<uint> stored, ref Vector256<uint> below)
        {
            (Vector256<float> even, Vector256<float> odd) = Half16.OfPairs(stored.AsInt32());
            below |= even.AsUInt32() | odd.AsUInt32();
            return Pair(even, odd);
        }
    }

    /// <summary>What <see cref="HalfPairs"/> leaves: three bits at most.</summary>
    private struct HalfRests : IPairs
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<uint> Upper(Vector256<uint> stored, ref Vector256<uint> below)
        {
            (Vector256<float> even, Vector256<float> odd) = Half16.OfPairs(stored.AsInt32());
            var upper = Vector256.Create(0xFFFF0000);
            return Pair(even - (even.AsUInt32() & upper).AsSingle(), odd - (odd.AsUInt32() & upper).AsSingle());
        }
    }

    /// <summary>The upper halves of two floats.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> Pair(Vector256<float> even, Vector256<float> odd) =>
        (even.AsUInt32() >>> 16) | (odd.AsUInt32() & Vector256.Create(0xFFFF0000));
}
