using System.Runtime.Intrinsics;
using Nibble.Core.Memory;

namespace Nibble.Core.Kernels;

internal static unsafe partial class FloatKernel
{
    // Many tokens: a stretch of 16 rows is decoded and turned, so that lanes are rows, then met by six tokens at a time, whose
    // 12 sums stay in registers. A column is 2 loads of weights, 6 broadcasts and 12 multiply-adds.

    private const int TileRows = 16;
    private const int StepTokens = 6;

    /// <summary>Columns that are decoded at once: 16 KiB, which stay in the first cache.</summary>
    private const int StretchColumns = 256;

    private static void MultiplyPanels(Weight w, float* x, int tokens, float* y, int from, int to)
    {
        int block = w.Format.BlockSize;
        int width = Math.Min(Math.Max(block, StretchColumns / block * block), w.Columns);
        int stride = (width + 7) & ~7, groups = (tokens + StepTokens - 1) / StepTokens;
        float* decoded = Scratch(2 * TileRows * stride + (groups * stride + TileRows) * StepTokens);
        float* panel = decoded + TileRows * stride, sums = panel + TileRows * stride, inputs = sums + TileRows * StepTokens;
        new Span<float>(decoded, TileRows * stride).Clear();
        for (int column = 0; column < w.Columns; column += width)
        {
            int count = Math.Min(width, w.Columns - column);
            TakeInputs(x + column, tokens, w.Columns, count, inputs);
            for (int row = from; row < to; row += TileRows)
            {
                int rows = Math.Min(TileRows, to - row);
                for (int r = 0; r < rows; r++)
                    w.Format.Decode(
                        w.Row(row + r).Slice(column / block * w.Format.BlockBytes, count / block * w.Format.BlockBytes),
                        new Span<float>(decoded + r * stride, count));
                Turn(decoded, stride, panel);
                for (int token = 0; token < tokens; token += StepTokens)
                {
                    MultiplyStep(panel, count, inputs + token * count, sums);
                    for (int t = 0; t < Math.Min(StepTokens, tokens - token); t++)
                        Put(sums + t * TileRows, rows, y + (token + t) * (nint)w.Rows + row, add: column > 0);
                }
            }
        }
    }

    /// <summary>A stretch of the inputs to [groups of six tokens, columns, 6]; tokens beyond the last repeat it.</summary>
    private static void TakeInputs(float* x, int tokens, int stride, int columns, float* inputs)
    {
        for (int token = 0; token < tokens; token += StepTokens)
            for (int t = 0; t < StepTokens; t++)
            {
                float* from = x + Math.Min(token + t, tokens - 1) * (nint)stride, to = inputs + token * columns + t;
                for (int c = 0; c < columns; c++) to[c * StepTokens] = from[c];
            }
    }

    private static void Put(float* sums, int rows, float* y, bool add)
    {
        if (rows == TileRows)
        {
            Vector256<float> a = Vector256.Load(sums), b = Vector256.Load(sums + 8);
            Store(y, add ? a + Vector256.Load(y) : a, add ? b + Vector256.Load(y + 8) : b);
            return;
        }
        for (int r = 0; r < rows; r++) y[r] = add ? y[r] + sums[r] : sums[r];
    }

    /// <summary>[16 rows, columns] to [columns, 16 rows].</summary>
    private static void Turn(float* decoded, int columns, float* panel)
    {
        for (int half = 0; half < TileRows; half += 8)
            for (int c = 0; c < columns; c += 4)
            {
                // Lower lanes are rows 0 to 3, upper ones 4 to 7; in each, four columns.
                float* from = decoded + half * columns + c;
                Square.Turn(Join(from, columns), Join(from + columns, columns), Join(from + 2 * columns, columns), Join(from + 3 * columns, columns),
                    (uint*)panel + c * TileRows + half, TileRows);
            }
    }

    /// <summary>Four columns of a row, and of the fourth row after it.</summary>
    private static Vector256<uint> Join(float* row, int columns) => Vector256.Create(Vector128.Load((uint*)row), Vector128.Load((uint*)row + 4 * columns));

    /// <summary>16 rows times six tokens; a are rows 0 to 7, b rows 8 to 15.</summary>
    private static void MultiplyStep(float* w, int columns, float* x, float* y)
    {
        Vector256<float> a0 = default, a1 = default, a2 = default, a3 = default, a4 = default, a5 = default;
        Vector256<float> b0 = default, b1 = default, b2 = default, b3 = default, b4 = default, b5 = default;
        for (int i = 0; i < columns; i++, w += TileRows, x += StepTokens)
        {
            Vector256<float> wa = Vector256.Load(w), wb = Vector256.Load(w + 8);
            var v = Vector256.Create(x[0]);
            a0 = Vector256.FusedMultiplyAdd(wa, v, a0);
            b0 = Vector256.FusedMultiplyAdd(wb, v, b0);
            v = Vector256.Create(x[1]);
            a1 = Vector256.FusedMultiplyAdd(wa, v, a1);
            b1 = Vector256.FusedMultiplyAdd(wb, v, b1);
            v = Vector256.Create(x[2]);
            a2 = Vector256.FusedMultiplyAdd(wa, v, a2);
            b2 = Vector256.FusedMultiplyAdd(wb, v, b2);
            v = Vector256.Create(x[3]);
            a3 = Vector256.FusedMultiplyAdd(wa, v, a3);
            b3 = Vector256.FusedMultiplyAdd(wb, v, b3);
            v = Vector256.Create(x[4]);
            a4 = Vector256.FusedMultiplyAdd(wa, v, a4);
            b4 = Vector256.FusedMultiplyAdd(wb, v, b4);
            v = Vector256.Create(x[5]);
            a5 = Vector256.FusedMultiplyAdd(wa, v, a5);
            b5 = Vector256.FusedMultiplyAdd(wb, v, b5);
        }
        Store(y, a0, b0);
        Store(y + 16, a1, b1);
        Store(y + 32, a2, b2);
        Store(y + 48, a3, b3);
        Store(y + 64, a4, b4);
        Store(y + 80, a5, b5);
    }

    private static void Store(float* y, Vector256<float> a, Vector256<float> b)
    {
        a.Store(y);
        b.Store(y + 8);
    }
}
