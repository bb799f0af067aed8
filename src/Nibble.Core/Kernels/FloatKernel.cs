using System.Runtime.Intrinsics;
using Nibble.Core.Formats;
using Nibble.Core.Memory;

namespace Nibble.Core.Kernels;

/// <summary>
/// The product in float32, from the stored weight: for floats, and for formats whose levels are not a scale times a byte.
/// </summary>
internal static unsafe class FloatKernel
{
    /// <summary>Rows that are decoded at once, a stretch of columns of each: 32 KiB in all.</summary>
    private const int TileRows = 16;
    private const int StretchColumns = 512;

    // A step multiplies 4 rows by 3 tokens: 12 sums stay in registers.
    private const int StepRows = 4;
    private const int StepTokens = 3;

    [ThreadStatic] private static GrowingBuffer? t_scratch;

    /// <summary>Writes columns [from, to) of y = x Wᵀ, x being [tokens, columns] and y [tokens, rows].</summary>
    public static void Multiply(Weight w, float* x, int tokens, float* y, int from, int to)
    {
        if (tokens == 1) MultiplyVector(w, x, y, from, to);
        else
            for (int row = from; row < to; row += TileRows)
                MultiplyTile(w, x, tokens, y, row, Math.Min(TileRows, to - row));
    }

    private static void MultiplyVector(Weight w, float* x, float* y, int from, int to)
    {
        GrowingBuffer scratch = t_scratch ??= new GrowingBuffer();
        scratch.Reserve((nint)w.Columns * sizeof(float));
        var decoded = (float*)scratch.Pointer;
        for (int r = from; r < to; r++)
        {
            byte* row = w.Data + r * w.RowBytes;
            if (w.Format == FloatFormat.F32) y[r] = Dot<SingleReader>(row, x, w.Columns);
            else if (w.Format == FloatFormat.F16) y[r] = Dot<HalfReader>(row, x, w.Columns);
            else if (w.Format == FloatFormat.BF16) y[r] = Dot<BFloat16Reader>(row, x, w.Columns);
            else
            {
                w.ReadRow(r, new Span<float>(decoded, w.Columns));
                y[r] = Dot<SingleReader>((byte*)decoded, x, w.Columns);
            }
        }
    }

    private interface IReader
    {
        static abstract int Size { get; }
        static abstract Vector256<float> Eight(byte* at);
        static abstract float One(byte* at);
    }

    private struct SingleReader : IReader
    {
        public static int Size => 4;
        public static Vector256<float> Eight(byte* at) => Vector256.Load((float*)at);
        public static float One(byte* at) => *(float*)at;
    }

    private struct HalfReader : IReader
    {
        public static int Size => 2;
        public static Vector256<float> Eight(byte* at) => Half16.Load(at);
        public static float One(byte* at) => (float)*(Half*)at;
    }

    private struct BFloat16Reader : IReader
    {
        public static int Size => 2;

        public static Vector256<float> Eight(byte* at) =>
            (Vector256.WidenLower(Vector128.Load((ushort*)at).ToVector256Unsafe()) << 16).AsSingle();

        public static float One(byte* at) => BitConverter.Int32BitsToSingle(*(ushort*)at << 16);
    }

    private static float Dot<TReader>(byte* row, float* x, int columns) where TReader : struct, IReader
    {
        Vector256<float> a = Vector256<float>.Zero, b = a, c = a, d = a;
        int i = 0;
        for (; i <= columns - 32; i += 32)
        {
            byte* at = row + (nint)i * TReader.Size;
            a = Vector256.FusedMultiplyAdd(TReader.Eight(at), Vector256.Load(x + i), a);
            b = Vector256.FusedMultiplyAdd(TReader.Eight(at + 8 * TReader.Size), Vector256.Load(x + i + 8), b);
            c = Vector256.FusedMultiplyAdd(TReader.Eight(at + 16 * TReader.Size), Vector256.Load(x + i + 16), c);
            d = Vector256.FusedMultiplyAdd(TReader.Eight(at + 24 * TReader.Size), Vector256.Load(x + i + 24), d);
        }
        float sum = Vector256.Sum((a + b) + (c + d));
        for (; i < columns; i++) sum += TReader.One(row + (nint)i * TReader.Size) * x[i];
        return sum;
    }

    private static void MultiplyTile(Weight w, float* x, int tokens, float* y, int row, int rows)
    {
        int block = w.Format.BlockSize;
        int width = Math.Min(Math.Max(block, StretchColumns / block * block), w.Columns);
        GrowingBuffer scratch = t_scratch ??= new GrowingBuffer();
        scratch.Reserve((nint)TileRows * width * sizeof(float));
        var decoded = (float*)scratch.Pointer;
        new Span<float>(decoded, TileRows * width).Clear();
        for (int column = 0; column < w.Columns; column += width)
        {
            int count = Math.Min(width, w.Columns - column);
            for (int r = 0; r < rows; r++)
                w.Format.Decode(
                    w.Row(row + r).Slice(column / block * w.Format.BlockBytes, count / block * w.Format.BlockBytes),
                    new Span<float>(decoded + r * width, count));
            for (int token = 0; token < tokens; token += StepTokens)
                for (int r = 0; r < rows; r += StepRows)
                    MultiplyStep(
                        decoded + r * width, width, count, x + (nint)token * w.Columns + column, w.Columns,
                        y + (nint)token * w.Rows + row + r, w.Rows,
                        Math.Min(StepRows, rows - r), Math.Min(StepTokens, tokens - token), column > 0);
        }
    }

    /// <summary>Writes (or adds) up to 4 rows times up to 3 tokens; lanes are columns, summed at the end.</summary>
    private static void MultiplyStep(
        float* w, int wStride, int columns, float* x, int xStride, float* y, int yStride, int rows, int tokens, bool add)
    {
        // Rows beyond the matrix are zeros in the scratch; tokens beyond the last repeat it. Neither is stored.
        float* x0 = x, x1 = x + Math.Min(1, tokens - 1) * (nint)xStride, x2 = x + Math.Min(2, tokens - 1) * (nint)xStride;
        float* w0 = w, w1 = w + wStride, w2 = w + 2 * wStride, w3 = w + 3 * wStride;
        Vector256<float> a0 = default, a1 = default, a2 = default, b0 = default, b1 = default, b2 = default;
        Vector256<float> c0 = default, c1 = default, c2 = default, d0 = default, d1 = default, d2 = default;
        int i = 0;
        for (; i <= columns - 8; i += 8)
        {
            Vector256<float> v0 = Vector256.Load(x0 + i), v1 = Vector256.Load(x1 + i), v2 = Vector256.Load(x2 + i);
            Vector256<float> weights = Vector256.Load(w0 + i);
            a0 = Vector256.FusedMultiplyAdd(weights, v0, a0);
            a1 = Vector256.FusedMultiplyAdd(weights, v1, a1);
            a2 = Vector256.FusedMultiplyAdd(weights, v2, a2);
            weights = Vector256.Load(w1 + i);
            b0 = Vector256.FusedMultiplyAdd(weights, v0, b0);
            b1 = Vector256.FusedMultiplyAdd(weights, v1, b1);
            b2 = Vector256.FusedMultiplyAdd(weights, v2, b2);
            weights = Vector256.Load(w2 + i);
            c0 = Vector256.FusedMultiplyAdd(weights, v0, c0);
            c1 = Vector256.FusedMultiplyAdd(weights, v1, c1);
            c2 = Vector256.FusedMultiplyAdd(weights, v2, c2);
            weights = Vector256.Load(w3 + i);
            d0 = Vector256.FusedMultiplyAdd(weights, v0, d0);
            d1 = Vector256.FusedMultiplyAdd(weights, v1, d1);
            d2 = Vector256.FusedMultiplyAdd(weights, v2, d2);
        }
        float* sums = stackalloc float[StepRows * StepTokens]
        {
            Vector256.Sum(a0), Vector256.Sum(a1), Vector256.Sum(a2), Vector256.Sum(b0), Vector256.Sum(b1), Vector256.Sum(b2),
            Vector256.Sum(c0), Vector256.Sum(c1), Vector256.Sum(c2), Vector256.Sum(d0), Vector256.Sum(d1), Vector256.Sum(d2),
        };
        for (int r = 0; r < rows; r++)
            for (int t = 0; t < tokens; t++)
            {
                float sum = sums[r * StepTokens + t];
                for (int tail = i; tail < columns; tail++) sum += w[r * wStride + tail] * x[t * (nint)xStride + tail];
                float* at = y + t * (nint)yStride + r;
                *at = add ? *at + sum : sum;
            }
    }
}
