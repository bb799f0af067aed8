using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Nibble.Core.Formats;
using Nibble.Core.Memory;

namespace Nibble.Core.Kernels;

/// <summary>
/// The product in float32, from the stored weight: for floats, and for formats whose levels are not a scale times a byte.
/// </summary>
internal static unsafe class FloatKernel
{
    private const int TileRows = 16;

    /// <summary>Columns that are decoded at once: 16 rows of them are 32 KiB.</summary>
    private const int PanelColumns = 512;

    [ThreadStatic] private static GrowingBuffer? t_scratch;

    /// <summary>Writes columns [from, to) of y = x Wᵀ, y being [tokens, rows].</summary>
    public static void Multiply(Weight w, Activation x, float* y, int from, int to)
    {
        if (x.Tokens == 1) MultiplyVector(w, x.Floats, y, from, to);
        else
            for (int row = from; row < to; row += TileRows)
                MultiplyTile(w, x, y, row, Math.Min(TileRows, to - row));
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

    private static void MultiplyTile(Weight w, Activation x, float* y, int row, int rows)
    {
        int block = w.Format.BlockSize;
        int width = Math.Min(Math.Max(block, PanelColumns / block * block), w.Columns);
        int tokens = (x.Tokens + 3) & ~3;
        GrowingBuffer scratch = t_scratch ??= new GrowingBuffer();
        scratch.Reserve(((nint)TileRows * 2 * width + (nint)tokens * TileRows) * sizeof(float));
        var decoded = (float*)scratch.Pointer;
        float* panel = decoded + (nint)TileRows * width;
        float* sums = panel + (nint)TileRows * width;
        new Span<float>(sums, tokens * TileRows).Clear();
        new Span<float>(decoded, TileRows * width).Clear();
        for (int column = 0; column < w.Columns; column += width)
        {
            int count = Math.Min(width, w.Columns - column);
            for (int r = 0; r < rows; r++)
                w.Format.Decode(
                    w.Row(row + r).Slice(column / block * w.Format.BlockBytes, count / block * w.Format.BlockBytes),
                    new Span<float>(decoded + r * count, count));
            Transpose(decoded, panel, count);
            for (int token = 0; token < x.Tokens; token += 4)
                MultiplyPanel(panel, count, x, column, token, sums + token * TileRows);
        }
        for (int token = 0; token < x.Tokens; token++)
            new ReadOnlySpan<float>(sums + token * TileRows, rows).CopyTo(new Span<float>(y + (nint)token * w.Rows + row, rows));
    }

    /// <summary>[16, columns] to [columns, 16].</summary>
    private static void Transpose(float* rows, float* panel, int columns)
    {
        for (int c = 0; c < columns; c++)
            for (int r = 0; r < TileRows; r++)
                panel[c * TileRows + r] = rows[r * columns + c];
    }

    /// <summary>Adds 16 rows of a panel times four tokens to the sums [4, 16]; lanes are rows.</summary>
    private static void MultiplyPanel(float* panel, int columns, Activation x, int column, int token, float* sums)
    {
        int last = x.Tokens - 1;
        float* x0 = At(x, token, column), x1 = At(x, Math.Min(token + 1, last), column);
        float* x2 = At(x, Math.Min(token + 2, last), column), x3 = At(x, Math.Min(token + 3, last), column);
        Vector256<float> a0 = Vector256.Load(sums), a1 = Vector256.Load(sums + 8), b0 = Vector256.Load(sums + 16), b1 = Vector256.Load(sums + 24);
        Vector256<float> c0 = Vector256.Load(sums + 32), c1 = Vector256.Load(sums + 40), d0 = Vector256.Load(sums + 48), d1 = Vector256.Load(sums + 56);
        for (int c = 0; c < columns; c++)
        {
            Vector256<float> w0 = Vector256.Load(panel + c * TileRows), w1 = Vector256.Load(panel + c * TileRows + 8);
            Vector256<float> v = Vector256.Create(x0[c]);
            a0 = Vector256.FusedMultiplyAdd(w0, v, a0);
            a1 = Vector256.FusedMultiplyAdd(w1, v, a1);
            v = Vector256.Create(x1[c]);
            b0 = Vector256.FusedMultiplyAdd(w0, v, b0);
            b1 = Vector256.FusedMultiplyAdd(w1, v, b1);
            v = Vector256.Create(x2[c]);
            c0 = Vector256.FusedMultiplyAdd(w0, v, c0);
            c1 = Vector256.FusedMultiplyAdd(w1, v, c1);
            v = Vector256.Create(x3[c]);
            d0 = Vector256.FusedMultiplyAdd(w0, v, d0);
            d1 = Vector256.FusedMultiplyAdd(w1, v, d1);
        }
        a0.Store(sums);
        a1.Store(sums + 8);
        b0.Store(sums + 16);
        b1.Store(sums + 24);
        c0.Store(sums + 32);
        c1.Store(sums + 40);
        d0.Store(sums + 48);
        d1.Store(sums + 56);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float* At(Activation x, int token, int column) => x.Floats + (nint)token * x.Columns + column;
}
