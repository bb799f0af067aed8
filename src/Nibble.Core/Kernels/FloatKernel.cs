using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Nibble.Core.Formats;
using Nibble.Core.Memory;

namespace Nibble.Core.Kernels;

/// <summary>
/// The product in float32, from the stored weight: for floats, and for formats whose levels are not a scale times a byte.
/// </summary>
internal static unsafe partial class FloatKernel
{
    private const int PrefetchAhead = 1536;

    [ThreadStatic] private static GrowingBuffer? t_scratch;

    /// <summary>Writes columns [from, to) of y = x Wᵀ, x being [tokens, columns] and y [tokens, rows].</summary>
    public static void Multiply(Weight w, float* x, int tokens, float* y, int from, int to)
    {
        if (tokens > 1) MultiplyPanels(w, x, tokens, y, from, to);
        else if (w.Format == FloatFormat.F32) MultiplyRows<SingleReader>(w, x, y, from, to);
        else if (w.Format == FloatFormat.F16) MultiplyRows<HalfReader>(w, x, y, from, to);
        else if (w.Format == FloatFormat.BF16) MultiplyRows<BFloat16Reader>(w, x, y, from, to);
        else if (w.Format == FloatFormat.F8_E4M3) MultiplyRows<E4M3Reader>(w, x, y, from, to);
        else if (w.Format == FloatFormat.F8_E5M2) MultiplyRows<E5M2Reader>(w, x, y, from, to);
        else if (w.Format.HasDot) MultiplyInPlace(w, x, y, from, to);
        else MultiplyDecoded(w, x, y, from, to);
    }

    /// <summary>How 16 neighbouring weights are read: into two vectors, in an order that the input must then have too.</summary>
    private interface IReader
    {
        static abstract int Size { get; }

        /// <summary>True if the first vector has the even columns, the second the odd ones; else the first 8, and the others.</summary>
        static virtual bool Deals => true;

        static abstract (Vector256<float> First, Vector256<float> Second) Read(byte* at);
        static abstract float One(byte* at);
    }

    private struct SingleReader : IReader
    {
        public static int Size => 4;
        public static bool Deals => false;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static (Vector256<float> First, Vector256<float> Second) Read(byte* at) =>
            (Vector256.Load((float*)at), Vector256.Load((float*)at + 8));

        public static float One(byte* at) => *(float*)at;
    }

    private struct HalfReader : IReader
    {
        public static int Size => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static (Vector256<float> First, Vector256<float> Second) Read(byte* at) => Half16.OfPairs(Vector256.Load((int*)at));

        public static float One(byte* at) => (float)*(Half*)at;
    }

    private struct BFloat16Reader : IReader
    {
        public static int Size => 2;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static (Vector256<float> First, Vector256<float> Second) Read(byte* at)
        {
            var pairs = Vector256.Load((uint*)at);
            return ((pairs << 16).AsSingle(), (pairs & Vector256.Create(0xFFFF0000u)).AsSingle());
        }

        public static float One(byte* at) => BitConverter.Int32BitsToSingle(*(ushort*)at << 16);
    }

    private static void MultiplyRows<TReader>(Weight w, float* x, float* y, int from, int to) where TReader : struct, IReader
    {
        float* dealt = TReader.Deals ? Deal(x, w.Columns) : x;
        for (int r = from; r < to; r++) y[r] = Dot<TReader>(w.Data + r * w.RowBytes, dealt, w.Columns);
    }

    private static void MultiplyInPlace(Weight w, float* x, float* y, int from, int to)
    {
        const int Together = 4;
        for (int r = from; r < to; r += Together)
        {
            int rows = Math.Min(Together, to - r);
            w.Format.DotRows(new ReadOnlySpan<byte>(w.Data + r * w.RowBytes, checked(rows * (int)w.RowBytes)), new ReadOnlySpan<float>(x, w.Columns), new Span<float>(y + r, rows));
        }
    }

    private static void MultiplyDecoded(Weight w, float* x, float* y, int from, int to)
    {
        float* decoded = Scratch(w.Columns);
        for (int r = from; r < to; r++)
        {
            w.ReadRow(r, new Span<float>(decoded, w.Columns));
            y[r] = Dot<SingleReader>((byte*)decoded, x, w.Columns);
        }
    }

    /// <summary>The input with the even ones of each whole 16 columns before the odd ones.</summary>
    private static float* Deal(float* x, int columns)
    {
        float* dealt = Scratch(columns);
        int whole = columns & ~15;
        for (int i = 0; i < whole; i++) dealt[(i & ~15) + (i & 1) * 8 + (i & 15) / 2] = x[i];
        for (int i = whole; i < columns; i++) dealt[i] = x[i];
        return dealt;
    }

    private static float* Scratch(int floats)
    {
        GrowingBuffer scratch = t_scratch ??= new GrowingBuffer();
        scratch.Reserve((nint)floats * sizeof(float));
        return (float*)scratch.Pointer;
    }

    private static float Dot<TReader>(byte* row, float* x, int columns) where TReader : struct, IReader
    {
        int whole = columns & ~15;
        float sum = Vector256.Sum(AddLanes<TReader>(row, x, whole));
        for (int i = whole; i < columns; i++) sum += TReader.One(row + i * TReader.Size) * x[i];
        return sum;
    }

    /// <summary>The sums of eight lanes, of a multiple of 16 columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> AddLanes<TReader>(byte* row, float* x, int columns) where TReader : struct, IReader
    {
        Vector256<float> a = Vector256<float>.Zero, b = a, c = a, d = a;
        int i = 0;
        for (; i <= columns - 32; i += 32, row += 32 * TReader.Size)
        {
            // Of 16 bits a line is 32. Rows follow each other, so this reaches into the next; past the last it asks for nothing.
            if (TReader.Size < sizeof(float) && Sse.IsSupported) Sse.Prefetch0(row + PrefetchAhead);
            (Vector256<float> first, Vector256<float> second) = TReader.Read(row);
            (Vector256<float> third, Vector256<float> fourth) = TReader.Read(row + 16 * TReader.Size);
            a = Vector256.FusedMultiplyAdd(first, Vector256.Load(x + i), a);
            b = Vector256.FusedMultiplyAdd(second, Vector256.Load(x + i + 8), b);
            c = Vector256.FusedMultiplyAdd(third, Vector256.Load(x + i + 16), c);
            d = Vector256.FusedMultiplyAdd(fourth, Vector256.Load(x + i + 24), d);
        }
        if (columns - i >= 16)
        {
            (Vector256<float> first, Vector256<float> second) = TReader.Read(row);
            a = Vector256.FusedMultiplyAdd(first, Vector256.Load(x + i), a);
            b = Vector256.FusedMultiplyAdd(second, Vector256.Load(x + i + 8), b);
        }
        return (a + b) + (c + d);
    }
}
