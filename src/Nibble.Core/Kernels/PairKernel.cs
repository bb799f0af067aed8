using System.Runtime.InteropServices;
using Nibble.Core.Formats;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;

namespace Nibble.Core.Kernels;

/// <summary>The product of bfloat16 weights with inputs rounded to bfloat16, where the processor multiplies pairs of them.</summary>
internal static unsafe class PairKernel
{
    /// <summary>Pairs of columns that are laid out at once: 16 KiB of weights, which stay in the first cache.</summary>
    private const int Stretch = 128;

    [ThreadStatic] private static GrowingBuffer? t_scratch;

    public static bool Handles(Weight w, int tokens) =>
        tokens > 1 && w.Format == FloatFormat.BF16 && w.Columns % 2 == 0 && PairPanel.Instance is not null;

    /// <summary>Writes columns [from, to) of y = x Wᵀ, x being [tokens, columns] and y [tokens, rows].</summary>
    /// <param name="panel">What multiplies.</param>
    public static void Multiply(PairPanel panel, Weight w, float* x, int tokens, float* y, int from, int to)
    {
        int pairs = w.Columns / 2, padded = (tokens + PairPanel.Tokens - 1) / PairPanel.Tokens * PairPanel.Tokens;
        GrowingBuffer scratch = t_scratch ??= new GrowingBuffer();
        scratch.Reserve(((nint)padded * (pairs + PairPanel.Rows) + Stretch * PairPanel.Rows) * sizeof(uint));
        uint* weights = (uint*)scratch.Pointer, inputs = weights + Stretch * PairPanel.Rows;
        float* sums = (float*)(inputs + (nint)padded * pairs);
        TakeInputs(x, tokens, w.Columns, inputs);
        for (int row = from; row < to; row += PairPanel.Rows)
        {
            int rows = Math.Min(PairPanel.Rows, to - row);
            new Span<float>(sums, padded * PairPanel.Rows).Clear();
            for (int first = 0; first < pairs; first += Stretch)
            {
                int count = Math.Min(Stretch, pairs - first);
                TakeWeights(w, row, rows, first, count, weights);
                for (int token = 0; token < padded; token += PairPanel.Tokens)
                {
                    var arguments = new PairPanel.Arguments
                    {
                        Weights = weights,
                        Inputs = inputs + (nint)token * pairs + first * PairPanel.Tokens,
                        Sums = sums + token * PairPanel.Rows,
                        Count = count,
                    };
                    panel.Multiply(ref arguments);
                }
            }
            for (int t = 0; t < tokens; t++) new Span<float>(sums + t * PairPanel.Rows, rows).CopyTo(new Span<float>(y + (nint)t * w.Rows + row, rows));
        }
    }

    /// <summary>The inputs, rounded, to [groups of six tokens, pairs, 6]; tokens beyond the last are zero.</summary>
    private static void TakeInputs(float* x, int tokens, int columns, uint* inputs)
    {
        int pairs = columns / 2;
        var rounded = new byte[columns * sizeof(ushort)];
        for (int t = 0; t < (tokens + PairPanel.Tokens - 1) / PairPanel.Tokens * PairPanel.Tokens; t++)
        {
            if (t < tokens) FloatFormat.BF16.Encode(new ReadOnlySpan<float>(x + (nint)t * columns, columns), default, rounded);
            else rounded.AsSpan().Clear();
            ReadOnlySpan<uint> own = MemoryMarshal.Cast<byte, uint>(rounded);
            uint* to = inputs + (nint)(t / PairPanel.Tokens) * PairPanel.Tokens * pairs + t % PairPanel.Tokens;
            for (int p = 0; p < own.Length; p++) to[p * PairPanel.Tokens] = own[p];
        }
    }

    /// <summary>Some rows to [pairs, 32 rows]; rows beyond the last are zero.</summary>
    private static void TakeWeights(Weight w, int row, int rows, int first, int count, uint* weights)
    {
        if (rows < PairPanel.Rows) new Span<uint>(weights, count * PairPanel.Rows).Clear();
        for (int r = 0; r < rows; r++)
        {
            // A row may begin at any even byte of a mapped file, where a load is as good as elsewhere.
            uint* from = (uint*)(w.Data + (row + r) * w.RowBytes) + first, to = weights + r;
            for (int p = 0; p < count; p++) to[p * PairPanel.Rows] = from[p];
        }
    }
}
