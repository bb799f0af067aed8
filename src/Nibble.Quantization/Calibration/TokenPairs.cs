using System.Numerics.Tensors;
using System.Runtime.Intrinsics;
using Nibble.Core.Formats;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Quantization.Calibration;

/// <summary>
/// Inputs of a batch of tokens in bfloat16, those of two neighbouring tokens side by side, laid out for sums over tokens by
/// <see cref="PairPanel"/>: once in panels of 32 columns, once in groups of eight.
/// </summary>
internal sealed unsafe class TokenPairs(PairPanel panel) : IDisposable
{
    private const int Width = PairPanel.Rows, Group = PairPanel.Tokens;

    private readonly GrowingBuffer _wide = new(), _narrow = new();
    private int _pairs, _columns;
    private bool _hasGroups;

    private int Panels => (_columns + Width - 1) / Width;

    private int Groups => (_columns + Group - 1) / Group;

    /// <summary>[pairs, 32 columns].</summary>
    private uint* Panel(int i) => (uint*)_wide.Pointer + (nint)i * _pairs * Width;

    /// <summary>[pairs, 8 columns].</summary>
    private uint* Columns(int group) => (uint*)_narrow.Pointer + (nint)group * _pairs * Group;

    /// <param name="x">[tokens, columns].</param>
    public void Load(float* x, int tokens, int columns, WorkerPool pool)
    {
        (_pairs, _columns, _hasGroups) = ((tokens + 1) / 2, columns, false);
        _wide.Reserve((nint)Panels * _pairs * Width * sizeof(uint));
        var wide = new WideJob { Pairs = this, X = x, Tokens = tokens };
        pool.Run(ref wide);
    }

    /// <summary>Lays out the groups, which only the left side of a product is read by.</summary>
    private void MakeGroups(WorkerPool pool)
    {
        if (_hasGroups) return;
        // The last group may reach beyond the last panel.
        _narrow.Reserve((nint)Groups * _pairs * Group * sizeof(uint));
        var narrow = new NarrowJob { Pairs = this };
        pool.Run(ref narrow);
        _hasGroups = true;
    }

    private struct WideJob : IParallelJob
    {
        public TokenPairs Pairs;
        public float* X;
        public int Tokens;

        public readonly void Run(int worker, int workers)
        {
            (int from, int to) = ParallelRows.Share(Pairs.Panels, worker, workers);
            float* copies = stackalloc float[2 * Width];
            for (int p = from; p < to; p++)
            {
                uint* target = Pairs.Panel(p);
                for (int t = 0; t < Tokens; t += 2)
                {
                    float* even = Numbers(t, p, copies), odd = Numbers(t + 1, p, copies + Width);
                    for (int i = 0; i < Width; i += 8, target += 8)
                        (FloatFormat.ToBFloat16(Vector256.Load(even + i)) | (FloatFormat.ToBFloat16(Vector256.Load(odd + i)) << 16)).Store(target);
                }
            }
        }

        /// <summary>The columns of a panel in one token; zeros where there is none.</summary>
        private readonly float* Numbers(int token, int panel, float* copy)
        {
            int first = panel * Width, width = token < Tokens ? Math.Min(Width, Pairs._columns - first) : 0;
            float* numbers = X + (nint)token * Pairs._columns + first;
            if (width == Width) return numbers;
            new Span<float>(copy, Width).Clear();
            new ReadOnlySpan<float>(numbers, width).CopyTo(new Span<float>(copy, Width));
            return copy;
        }
    }

    private struct NarrowJob : IParallelJob
    {
        public TokenPairs Pairs;

        public readonly void Run(int worker, int workers)
        {
            (int from, int to) = ParallelRows.Share(Pairs.Groups, worker, workers);
            uint** sources = stackalloc uint*[Group];
            for (int g = from; g < to; g++)
            {
                // What lies beyond the last column is multiplied to sums that nobody reads.
                for (int i = 0; i < Group; i++) sources[i] = Source(Math.Min(g * Group + i, Pairs._columns - 1));
                uint* target = Pairs.Columns(g);
                for (nint p = 0, end = (nint)Pairs._pairs * Width; p < end; p += Width, target += Group)
                    for (int i = 0; i < Group; i++) target[i] = sources[i][p];
            }
        }

        private readonly uint* Source(int column) => Pairs.Panel(column / Width) + column % Width;
    }

    /// <summary>sums[r, c] += the sum over tokens of left[r] right[c].</summary>
    /// <param name="stride">Floats from a row of the sums to the next.</param>
    /// <param name="upperOnly">What lies below the diagonal may be left out.</param>
    public static void AddProducts(TokenPairs left, TokenPairs right, float* sums, int stride, bool upperOnly, WorkerPool pool)
    {
        if (left._pairs == 0) return;
        left.MakeGroups(pool);
        var job = new ProductJob { Left = left, Right = right, Sums = sums, Stride = stride, UpperOnly = upperOnly };
        pool.Run(ref job);
    }

    public void Dispose()
    {
        _wide.Dispose();
        _narrow.Dispose();
    }

    private PairPanel Product => panel;

    private struct ProductJob : IParallelJob
    {
        public TokenPairs Left, Right;
        public float* Sums;
        public int Stride;
        public bool UpperOnly;
        private int _taken;

        public void Run(int worker, int workers)
        {
            float* block = stackalloc float[Group * Width];
            // The last panels have most above the diagonal.
            for (int p; (p = Right.Panels - Interlocked.Increment(ref _taken)) >= 0;)
                for (int g = 0; g < Left.Groups && !(UpperOnly && g * Group >= (p + 1) * Width); g++)
                {
                    new Span<float>(block, Group * Width).Clear();
                    var arguments = new PairPanel.Arguments { Weights = Right.Panel(p), Inputs = Left.Columns(g), Sums = block, Count = Left._pairs, Wanted = Group };
                    Left.Product.Multiply(ref arguments);
                    Add(block, g, p);
                }
        }

        private readonly void Add(float* block, int group, int panel)
        {
            int width = Math.Min(Width, Right._columns - panel * Width);
            for (int r = 0; r < Group && group * Group + r < Left._columns; r++)
            {
                var row = new Span<float>(Sums + (nint)(group * Group + r) * Stride + panel * Width, width);
                TensorPrimitives.Add(row, new ReadOnlySpan<float>(block + r * Width, width), row);
            }
        }
    }
}
