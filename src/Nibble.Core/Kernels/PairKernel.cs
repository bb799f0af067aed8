using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
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
internal static unsafe class PairKernel
{
    /// <summary>Pairs of columns that are laid out at once: 16 KiB of weights, which stay in the first cache.</summary>
    private const int Stretch = 128;

    [ThreadStatic] private static GrowingBuffer? t_scratch;

    public static bool Handles(Weight w, int tokens) =>
        tokens > 1 && (w.Format == FloatFormat.F16 || w.Format == FloatFormat.BF16) && w.Columns % 2 == 0 && PairPanel.Instance is not null;

    /// <summary>Writes y = x Wᵀ, x being [tokens, columns] and y [tokens, rows].</summary>
    /// <param name="panel">What multiplies.</param>
    /// <param name="w">Floats of 16 bits, an even number of columns.</param>
    public static void Multiply(PairPanel panel, Weight w, Activation x, float* y, WorkerPool pool)
    {
        x.MakePairs(pool);
        var job = new Job { Panel = panel, Weight = w, X = x, Y = y };
        pool.Run(ref job);
    }

    private struct Job : IParallelJob
    {
        public PairPanel Panel;
        public Weight Weight;
        public Activation X;
        public float* Y;
        private int _taken;

        public void Run(int worker, int workers)
        {
            // A core that other programs disturb takes fewer.
            for (int row; (row = (Interlocked.Increment(ref _taken) - 1) * PairPanel.Rows) < Weight.Rows;) Multiply32(Panel, Weight, X, Y, row);
        }
    }

    /// <summary>32 columns of y from the given one, fewer at the end.</summary>
    private static void Multiply32(PairPanel panel, Weight w, Activation x, float* y, int row)
    {
        int pairs = w.Columns / 2, padded = InputPairs.Padded(x.Tokens), rows = Math.Min(PairPanel.Rows, w.Rows - row);
        GrowingBuffer scratch = t_scratch ??= new GrowingBuffer();
        scratch.Reserve(((nint)padded + Stretch) * PairPanel.Rows * sizeof(uint));
        uint* weights = (uint*)scratch.Pointer;
        float* sums = (float*)(weights + Stretch * PairPanel.Rows);
        new Span<float>(sums, padded * PairPanel.Rows).Clear();
        for (int first = 0; first < pairs; first += Stretch)
        {
            int count = Math.Min(Stretch, pairs - first);
            uint* inputs = x.Pairs + first * PairPanel.Tokens;
            if (w.Format == FloatFormat.BF16) Take<BFloat16Pairs>(w, row, first, count, weights);
            else if (Take<HalfPairs>(w, row, first, count, weights))
            {
                Add(panel, weights, inputs, count, pairs, padded, sums);
                Take<HalfRests>(w, row, first, count, weights);
            }
            Add(panel, weights, inputs, count, pairs, padded, sums);
        }
        for (int t = 0; t < x.Tokens; t++) new Span<float>(sums + t * PairPanel.Rows, rows).CopyTo(new Span<float>(y + (nint)t * w.Rows + row, rows));
    }

    /// <summary>Adds the products of a stretch, for all tokens.</summary>
    private static void Add(PairPanel panel, uint* weights, uint* inputs, int count, int pairs, int padded, float* sums)
    {
        for (int token = 0; token < padded; token += PairPanel.Tokens)
        {
            var arguments = new PairPanel.Arguments { Weights = weights, Inputs = inputs + (nint)token * pairs, Sums = sums + token * PairPanel.Rows, Count = count };
            panel.Multiply(ref arguments);
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
        int p = 0;
        for (; p <= count - 4; p += 4, weights += 4 * PairPanel.Rows)
            for (int r = 0; r < PairPanel.Rows; r += 8)
            {
                // Lower lanes are rows 0 to 3, upper ones 4 to 7; in each, four pairs.
                Square.Turn(
                    TPairs.Upper(Join(rows[r] + p, rows[r + 4] + p), ref below), TPairs.Upper(Join(rows[r + 1] + p, rows[r + 5] + p), ref below),
                    TPairs.Upper(Join(rows[r + 2] + p, rows[r + 6] + p), ref below), TPairs.Upper(Join(rows[r + 3] + p, rows[r + 7] + p), ref below),
                    weights + r, PairPanel.Rows);
            }
        for (; p < count; p++, weights += PairPanel.Rows)
            for (int r = 0; r < PairPanel.Rows; r++) weights[r] = TPairs.Upper(Vector256.CreateScalar(rows[r][p]), ref below)[0];
        return (below & Vector256.Create(0xFFFFu)) != Vector256<uint>.Zero;
    }

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
