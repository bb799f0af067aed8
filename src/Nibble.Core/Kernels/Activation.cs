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
public sealed unsafe partial class Activation : IDisposable
{
    /// <summary>Columns that always share a scale.</summary>
    public const int Chunk = 32;

    private const int ParallelAbove = 1 << 15;

    private readonly GrowingBuffer _floats = new();
    private readonly GrowingBuffer _codes = new();
    private readonly GrowingBuffer _scales = new();
    private readonly GrowingBuffer _sums = new();
    private readonly GrowingBuffer _rounded = new();
    private readonly GrowingBuffer _pairs = new();
    private InputRounding? _codesOf, _roundedOf;
    private PairOrder _pairsOf;
    private Activation? _rotated;
    private ColumnRotation? _rotatedBy;

    public int Tokens { get; private set; }
    public int Columns { get; private set; }

    /// <summary>[tokens, columns].</summary>
    public float* Floats => (float*)_floats.Pointer;

    /// <summary>Chunks a token; the last may be partly padding.</summary>
    public int Chunks => (Columns + Chunk - 1) / Chunk;

    /// <summary>[tokens, chunks * 32], zero beyond the columns. Valid after <see cref="MakeCodes(WorkerPool, InputRounding?)"/>.</summary>
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
        _numbersMade = 0;
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

    public void Dispose()
    {
        _floats.Dispose();
        _codes.Dispose();
        _scales.Dispose();
        _sums.Dispose();
        foreach ((_, GrowingBuffer numbers) in _numbers) numbers.Dispose();
        _rounded.Dispose();
        _pairs.Dispose();
        _rotated?.Dispose();
    }
}
