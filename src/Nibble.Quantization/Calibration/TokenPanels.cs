using System.Runtime.Intrinsics;
using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Quantization.Calibration;

/// <summary>
/// Inputs of a batch of tokens, rounded to bfloat16 and laid out for sums over tokens: panels of 16 columns, each [tokens, 16],
/// zero beyond the last column. In rows of a power of two, one column's values would all fall into the same few lines of the
/// cache. Where the processor multiplies bfloat16, the panels are <see cref="TokenPairs"/>.
/// </summary>
internal sealed unsafe class TokenPanels : IDisposable
{
    // One step adds 4 rows by 16 columns of products, over all tokens of a batch: 8 sums in registers.
    private const int StepRows = 4;
    private const int Width = 16;

    /// <summary>Tokens that are summed at a time: of two panels, 16 KiB, which stay in the first cache for all steps.</summary>
    private const int Stretch = 128;

    private readonly GrowingBuffer _values = new();
    private readonly TokenPairs? _pairs = PairPanel.Instance is { } panel ? new TokenPairs(panel) : null;

    public int Tokens { get; private set; }

    public int Columns { get; private set; }

    private int Count => Padded(Columns) / Width;

    /// <summary>The columns with their padding.</summary>
    public static int Padded(int columns) => (columns + Width - 1) / Width * Width;

    private float* Panel(int panel) => (float*)_values.Pointer + (nint)panel * Tokens * Width;

    public void Load(Activation x, WorkerPool pool) => Load(x.Floats, x.Tokens, x.Columns, pool);

    /// <param name="x">[tokens, columns].</param>
    public void Load(float* x, int tokens, int columns, WorkerPool pool)
    {
        (Tokens, Columns) = (tokens, columns);
        if (_pairs is not null)
        {
            _pairs.Load(x, tokens, columns, pool);
            return;
        }
        _values.Reserve((nint)tokens * Padded(columns) * sizeof(float));
        var job = new LoadJob { Panels = this, X = x };
        pool.Run(ref job);
    }

    /// <summary>sums[r, c] += the sum over tokens of left[r] right[c].</summary>
    /// <param name="sums">[padded columns of left, padded columns of right].</param>
    /// <param name="upperOnly">What lies below the diagonal may be left out.</param>
    public static void AddProducts(TokenPanels left, TokenPanels right, float* sums, bool upperOnly, WorkerPool pool)
    {
        if (left._pairs is not null && right._pairs is not null)
        {
            TokenPairs.AddProducts(left._pairs, right._pairs, sums, Padded(right.Columns), upperOnly, pool);
            return;
        }
        var job = new ProductJob { Left = left, Right = right, Sums = sums, UpperOnly = upperOnly };
        pool.Run(ref job);
    }

    public void Dispose()
    {
        _values.Dispose();
        _pairs?.Dispose();
    }

    private struct LoadJob : IParallelJob
    {
        public TokenPanels Panels;
        public float* X;

        public readonly void Run(int worker, int workers)
        {
            (int from, int to) = ParallelRows.Share(Panels.Count, worker, workers);
            for (int p = from; p < to; p++)
            {
                int first = p * Width, width = Math.Min(Width, Panels.Columns - first);
                float* panel = Panels.Panel(p);
                for (int t = 0; t < Panels.Tokens; t++, panel += Width)
                {
                    var values = new Span<float>(panel, Width);
                    new ReadOnlySpan<float>(X + (nint)t * Panels.Columns + first, width).CopyTo(values);
                    values[width..].Clear();
                    FloatFormat.RoundToBFloat16(values, values);
                }
            }
        }
    }

    private struct ProductJob : IParallelJob
    {
        public TokenPanels Left, Right;
        public float* Sums;
        public bool UpperOnly;
        private int _taken;

        public void Run(int worker, int workers)
        {
            int stride = Right.Count * Width;
            for (int row; (row = Interlocked.Increment(ref _taken) - 1) < Left.Count;)
                for (int panel = UpperOnly ? row : 0; panel < Right.Count; panel++)
                    for (int t = 0; t < Left.Tokens; t += Stretch)
                        for (int r = 0; r < Width; r += StepRows)
                            AddStep(Left.Panel(row) + t * Width + r, Right.Panel(panel) + t * Width, Math.Min(Stretch, Left.Tokens - t), Sums + (nint)(row * Width + r) * stride + panel * Width, stride);
        }
    }

    private static void AddStep(float* left, float* right, int tokens, float* sums, nint stride)
    {
        float* sums1 = sums + stride, sums2 = sums1 + stride, sums3 = sums2 + stride;
        Vector256<float> a0 = Vector256.Load(sums), a1 = Vector256.Load(sums + 8);
        Vector256<float> b0 = Vector256.Load(sums1), b1 = Vector256.Load(sums1 + 8);
        Vector256<float> c0 = Vector256.Load(sums2), c1 = Vector256.Load(sums2 + 8);
        Vector256<float> d0 = Vector256.Load(sums3), d1 = Vector256.Load(sums3 + 8);
        for (int t = 0; t < tokens; t++, left += Width, right += Width)
        {
            Vector256<float> low = Vector256.Load(right), high = Vector256.Load(right + 8);
            Vector256<float> factor = Vector256.Create(left[0]);
            a0 = Vector256.FusedMultiplyAdd(factor, low, a0);
            a1 = Vector256.FusedMultiplyAdd(factor, high, a1);
            factor = Vector256.Create(left[1]);
            b0 = Vector256.FusedMultiplyAdd(factor, low, b0);
            b1 = Vector256.FusedMultiplyAdd(factor, high, b1);
            factor = Vector256.Create(left[2]);
            c0 = Vector256.FusedMultiplyAdd(factor, low, c0);
            c1 = Vector256.FusedMultiplyAdd(factor, high, c1);
            factor = Vector256.Create(left[3]);
            d0 = Vector256.FusedMultiplyAdd(factor, low, d0);
            d1 = Vector256.FusedMultiplyAdd(factor, high, d1);
        }
        a0.Store(sums);
        a1.Store(sums + 8);
        b0.Store(sums1);
        b1.Store(sums1 + 8);
        c0.Store(sums2);
        c1.Store(sums2 + 8);
        d0.Store(sums3);
        d1.Store(sums3 + 8);
    }
}
