using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Core.Kernels;

/// <summary>
/// The input of a matrix product: rows of float32, one a token, in native memory that is reused from product to product.
/// The 8-bit codes that integer kernels want are made once, by the first product that needs them: x = scale * code, |code|
/// at most 127. A chunk of 32 columns has one scale, its own unless another rounding is asked for.
/// </summary>
public sealed unsafe class Activation : IDisposable
{
    /// <summary>Columns that always share a scale.</summary>
    public const int Chunk = 32;

    private const int ParallelAbove = 1 << 15;

    /// <summary>Columns from which on the codes of one token alone are shared by chunks: 8,192 take one thread 7 us.</summary>
    private const int ParallelColumns = 1 << 12;

    private readonly GrowingBuffer _floats = new();
    private readonly GrowingBuffer _codes = new();
    private readonly GrowingBuffer _scales = new();
    private readonly GrowingBuffer _sums = new();
    private readonly GrowingBuffer _numbers = new();
    private readonly GrowingBuffer _rounded = new();
    private readonly GrowingBuffer _pairs = new();
    private InputRounding? _codesOf, _roundedOf;
    private InputGroups _numbersOf;
    private PairOrder _pairsOf;
    private Activation? _rotated;
    private ColumnRotation? _rotatedBy;

    public int Tokens { get; private set; }
    public int Columns { get; private set; }

    /// <summary>[tokens, columns].</summary>
    public float* Floats => (float*)_floats.Pointer;

    /// <summary>Chunks a token; the last may be partly padding.</summary>
    public int Chunks => (Columns + Chunk - 1) / Chunk;

    /// <summary>[tokens, chunks * 32], zero beyond the columns. Valid after <see cref="MakeCodes"/>.</summary>
    public sbyte* Codes => (sbyte*)_codes.Pointer;

    /// <summary>[tokens, chunks].</summary>
    public float* Scales => (float*)_scales.Pointer;

    /// <summary>Sums of the codes, for offsets: [tokens, chunks, 2], one for each half of a chunk.</summary>
    public int* Sums => (int*)_sums.Pointer;

    /// <summary>Rounded to bfloat16, in the order that was asked for. Valid after <see cref="MakePairs"/>.</summary>
    internal uint* Pairs => (uint*)_pairs.Pointer;

    /// <summary>Sets the shape; the contents are then unspecified. Grows the memory if it must, never shrinks it.</summary>
    public void Resize(int tokens, int columns)
    {
        Tokens = tokens;
        Columns = columns;
        _floats.Reserve((nint)tokens * columns * sizeof(float));
        Changed();
    }

    public Span<float> Row(int token) => new(Floats + (nint)token * Columns, Columns);

    /// <summary>Must be called after the floats were written: what was made of older values is dropped.</summary>
    public void Changed()
    {
        _codesOf = _roundedOf = null;
        _numbersOf = default;
        _pairsOf = default;
        _rotatedBy = null;
    }

    /// <summary>The same input with its columns rotated: made once for all weights that are stored so.</summary>
    public Activation Rotated(ColumnRotation rotation, WorkerPool pool)
    {
        _rotated ??= new Activation();
        if (rotation.Equals(_rotatedBy)) return _rotated;
        _rotated.Resize(Tokens, Columns);
        Run(new RotateJob { X = this, Rotation = rotation }, pool);
        _rotatedBy = rotation;
        return _rotated;
    }

    private struct RotateJob : IParallelJob
    {
        public Activation X;
        public ColumnRotation Rotation;

        public readonly void Run(int worker, int workers)
        {
            (int from, int to) = ParallelRows.Share(X.Tokens, worker, workers);
            for (int token = from; token < to; token++)
            {
                X.Row(token).CopyTo(X._rotated!.Row(token));
                Rotation.Rotate(X._rotated.Row(token));
            }
        }
    }

    /// <summary>Makes the codes if they are not there.</summary>
    /// <param name="pool">The workers that share the tokens.</param>
    /// <param name="rounding">One that has codes; null is <see cref="InputRounding.Integer"/>.</param>
    public void MakeCodes(WorkerPool pool, InputRounding? rounding = null)
    {
        rounding ??= InputRounding.Integer;
        if (ReferenceEquals(_codesOf, rounding)) return;
        _codes.Reserve((nint)Tokens * Chunks * Chunk);
        _scales.Reserve((nint)Tokens * Chunks * sizeof(float));
        _sums.Reserve((nint)Tokens * Chunks * 2 * sizeof(int));
        var codes = new CodesJob { X = this, Rounding = rounding };
        if (Tokens == 1 && Columns >= ParallelColumns) pool.Run(ref codes);
        else Run(codes, pool);
        _codesOf = rounding;
        _numbersOf = default;
    }

    /// <summary>What the generated kernels need beside the codes: [groups, chunks, parts, kinds, tokens of the group]. Valid after <see cref="MakeNumbers"/>.</summary>
    internal float* Numbers => (float*)_numbers.Pointer;

    /// <summary>Arranges the numbers that belong to the codes, if they are not so already: weights that share an input share them.</summary>
    internal void MakeNumbers(WorkerPool pool, InputGroups groups)
    {
        if (_numbersOf == groups) return;
        _numbers.Reserve(groups.Count * groups.Numbers(Chunks) * sizeof(float));
        Run(new NumbersJob { X = this, Groups = groups }, pool);
        _numbersOf = groups;
    }

    private struct NumbersJob : IParallelJob
    {
        public Activation X;
        public InputGroups Groups;

        public readonly void Run(int worker, int workers)
        {
            (int from, int to) = ParallelRows.Share(Groups.Count, worker, workers);
            for (int g = from; g < to; g++)
                InputNumbers.ArrangeGroup(X, Groups.First(g), Groups.Size, Groups.Parts, Groups.Bias, Groups.Scaled, X.Numbers + g * Groups.Numbers(X.Chunks));
        }
    }

    /// <summary>Makes the pairs in an order if they are not there.</summary>
    internal void MakePairs(WorkerPool pool, PairOrder order)
    {
        if (_pairsOf == order) return;
        _pairs.Reserve((nint)order.Tokens * Columns * sizeof(ushort));
        Run(new PairJob { X = this, Order = order }, pool);
        _pairsOf = order;
    }

    private struct PairJob : IParallelJob
    {
        public Activation X;
        public PairOrder Order;

        public readonly void Run(int worker, int workers)
        {
            int step = Order.InLines ? 1 : InputPairs.Group;
            (int from, int to) = ParallelRows.Share(Order.Tokens, worker, workers, step);
            for (int token = from; token < to; token += step)
                if (Order.InLines) InputPairs.ArrangeLines(X, token, Order.Tokens, (ushort*)X.Pairs);
                else InputPairs.Arrange(X, token, X.Pairs + (nint)token * (X.Columns / 2));
        }
    }

    /// <summary>The floats as a rounding leaves them, [tokens, columns]: made once, for products in float32.</summary>
    public float* Rounded(WorkerPool pool, InputRounding? rounding)
    {
        if (rounding is null || rounding.Bits == 0) return Floats;
        if (ReferenceEquals(_roundedOf, rounding)) return (float*)_rounded.Pointer;
        _rounded.Reserve((nint)Tokens * Columns * sizeof(float));
        Run(new RoundJob { X = this, Rounding = rounding }, pool);
        _roundedOf = rounding;
        return (float*)_rounded.Pointer;
    }

    private void Run<TJob>(TJob job, WorkerPool pool) where TJob : struct, IParallelJob
    {
        if ((long)Tokens * Columns >= ParallelAbove) pool.Run(ref job);
        else job.Run(0, 1);
    }

    private struct RoundJob : IParallelJob
    {
        public Activation X;
        public InputRounding Rounding;

        public readonly void Run(int worker, int workers)
        {
            (int from, int to) = ParallelRows.Share(X.Tokens, worker, workers);
            for (int token = from; token < to; token++) X.RoundFloatsOf(token, Rounding);
        }
    }

    private struct CodesJob : IParallelJob
    {
        public Activation X;
        public InputRounding Rounding;

        public readonly void Run(int worker, int workers)
        {
            (int from, int to) = ParallelRows.Share(X.Tokens == 1 ? X.Chunks : X.Tokens, worker, workers);
            if (X.Tokens == 1) X.MakeCodesOf(0, from, to, Rounding);
            else for (int token = from; token < to; token++) X.MakeCodesOf(token, 0, X.Chunks, Rounding);
        }
    }

    private void MakeCodesOf(int token, int fromChunk, int toChunk, InputRounding rounding)
    {
        float* x = Floats + (nint)token * Columns;
        sbyte* codes = Codes + (nint)token * Chunks * Chunk;
        float* scales = Scales + (nint)token * Chunks;
        int* sums = Sums + (nint)token * Chunks * 2;
        float* padded = stackalloc float[Chunk];
        int span = rounding.Grain == InputGrain.Group ? rounding.Group : Columns, most = rounding.LargestCode;
        float scale = 0, inverse = 0;
        for (int chunk = fromChunk, at = fromChunk * Chunk; chunk < toChunk; chunk++, at += Chunk)
        {
            int first = at - at % span;
            if (first == at || chunk == fromChunk) (scale, inverse) = Scale(rounding, x, first, Math.Min(span, Columns - first));
            float* source = x + at;
            if (Columns - at < Chunk)
            {
                new Span<float>(padded, Chunk).Clear();
                new Span<float>(source, Columns - at).CopyTo(new Span<float>(padded, Chunk));
                source = padded;
            }
            Quantize(source, inverse, most, codes + at, sums + chunk * 2);
            scales[chunk] = scale;
        }
    }

    private void RoundFloatsOf(int token, InputRounding rounding)
    {
        float* x = Floats + (nint)token * Columns, rounded = (float*)_rounded.Pointer + (nint)token * Columns;
        if (rounding.Bits == 16)
        {
            FloatFormat.RoundToBFloat16(new ReadOnlySpan<float>(x, Columns), new Span<float>(rounded, Columns));
            return;
        }
        bool perColumn = rounding.Grain == InputGrain.Channel;
        int span = perColumn ? 1 : rounding.Grain == InputGrain.Group ? rounding.Group : Columns, most = rounding.LargestCode;
        for (int at = 0; at < Columns; at += span)
        {
            int count = Math.Min(span, Columns - at);
            (float scale, float inverse) = Scale(rounding, x, at, count);
            for (int i = at; i < at + count; i++) rounded[i] = scale * Math.Clamp(MathF.Round(x[i] * inverse), -most, most);
        }
    }

    /// <summary>The scale of some columns of a token, and what makes codes of its numbers; 0 where all are 0.</summary>
    private static (float Scale, float Inverse) Scale(InputRounding rounding, float* x, int at, int count)
    {
        if (!rounding.IsStatic)
        {
            float largest = Largest(x + at, count);
            return (largest / rounding.LargestCode, largest > 0 ? rounding.LargestCode / largest : 0);
        }
        float scale = rounding.Scales.Span[rounding.Grain == InputGrain.Channel ? at : 0];
        return (scale, scale > 0 ? 1 / scale : 0);
    }

    /// <summary>The largest magnitude, not a number if one is not: magnitudes are in the order of their bits.</summary>
    private static float Largest(float* x, int count)
    {
        Vector256<int> most = default;
        int i = 0;
        for (; i <= count - Vector256<int>.Count; i += Vector256<int>.Count) most = Vector256.Max(most, Vector256.Load((int*)x + i) & Vector256.Create(int.MaxValue));
        Vector128<int> half = Vector128.Max(most.GetLower(), most.GetUpper());
        half = Vector128.Max(half, Vector128.Shuffle(half, Vector128.Create(2, 3, 0, 1)));
        float largest = BitConverter.Int32BitsToSingle(Math.Max(half[0], half[1]));
        for (; i < count; i++) largest = MathF.Max(largest, MathF.Abs(x[i]));
        return largest;
    }

    /// <summary>Rounds 32 floats to codes, and sums each half of them.</summary>
    private static void Quantize(float* x, float inverse, int most, sbyte* codes, int* sums)
    {
        Vector256<int> qa = Round(x, inverse, most), qb = Round(x + 8, inverse, most);
        Vector256<int> qc = Round(x + 16, inverse, most), qd = Round(x + 24, inverse, most);
        if (Avx2.IsSupported)
        {
            Vector256<sbyte> packed = Avx2.PackSignedSaturate(Avx2.PackSignedSaturate(qa, qb), Avx2.PackSignedSaturate(qc, qd));
            packed = Avx2.PermuteVar8x32(packed.AsInt32(), Vector256.Create(0, 4, 1, 5, 2, 6, 3, 7)).AsSByte();
            packed.Store(codes);
            // Sums of eight bytes without signs, each 128 too large.
            Vector256<int> eights = Avx2.SumAbsoluteDifferences(packed.AsByte() ^ Vector256.Create((byte)128), Vector256<byte>.Zero).AsInt32();
            sums[0] = eights[0] + eights[2] - 16 * 128;
            sums[1] = eights[4] + eights[6] - 16 * 128;
            return;
        }
        sums[0] = Vector256.Sum(qa + qb);
        sums[1] = Vector256.Sum(qc + qd);
        Vector256.Narrow(Vector256.Narrow(qa, qb), Vector256.Narrow(qc, qd)).Store(codes);
    }

    /// <summary>Eight codes; 0 for what is not a number.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Round(float* x, float inverse, int most)
    {
        Vector256<float> codes = Vector256.Load(x) * inverse;
        codes &= Vector256.Equals(codes, codes);
        codes = Vector256.MinNative(Vector256.MaxNative(codes, Vector256.Create((float)-most)), Vector256.Create((float)most));
        return Vector256.ConvertToInt32Native(Vector256.Round(codes));
    }

    public void Dispose()
    {
        _floats.Dispose();
        _codes.Dispose();
        _scales.Dispose();
        _sums.Dispose();
        _numbers.Dispose();
        _rounded.Dispose();
        _pairs.Dispose();
        _rotated?.Dispose();
    }
}
