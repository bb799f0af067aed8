using System.Numerics.Tensors;
using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Files;
using Nibble.Quantization.Evaluation;
using static System.FormattableString;

namespace Nibble.Quantization.Methods;

/// <summary>
/// Nearest rounding: every block by itself. Rows stream through in chunks that all workers share, so memory does not grow
/// with the tensor; the bytes are the same on one thread or many.
/// </summary>
public sealed unsafe class Nearest(WorkerPool pool) : IDisposable
{
    /// <summary>Stored bytes of a chunk: enough work for all workers, little memory.</summary>
    private const int ChunkBytes = 4 << 20;

    /// <summary>What is held of a tensor of so many bytes on its way to the file: a chunk that is made, and one that is written.</summary>
    public static long HeldBytes(long tensorBytes) => 2 * Math.Min(ChunkBytes, tensorBytes);

    /// <summary>Rows that a worker takes at a time.</summary>
    private const int RowsAtOnce = 4;

    private readonly GrowingBuffer _bytes = new(), _behind = new();
    private SquaredError[] _errors = [];

    /// <summary>Whether scales and minimums are solved by <see cref="Hqq"/>, where a format has them.</summary>
    public bool Solves { get; init; }

    /// <summary>Quantizes a matrix and hands its rows on, in order.</summary>
    /// <param name="name">For messages.</param>
    /// <param name="source">[rows, columns].</param>
    /// <param name="format">Bound to the columns, with its table.</param>
    /// <param name="range">How ranges are chosen; null is the format's own way.</param>
    /// <param name="importance">Of each column; where the rows are those of several matrices, as many times. Or empty.</param>
    /// <param name="write">Gets the stored bytes of a run of rows, and which rows these are.</param>
    /// <param name="cancellation">Looked at between chunks.</param>
    /// <exception cref="UnusableInputException">A weight is not finite.</exception>
    public RoundingError Quantize(
        string name, IWeightSource source, Format format, DynamicRange? range, ReadOnlyMemory<float> importance,
        RowsWriter write, CancellationToken cancellation)
    {
        int rowBytes = checked((int)format.RowBytes(source.Columns));
        int chunk = Math.Clamp(ChunkBytes / rowBytes, 1, source.Rows);
        if (_errors.Length < chunk) _errors = new SquaredError[chunk];
        _bytes.Reserve((nint)chunk * rowBytes);
        _behind.Reserve((nint)chunk * rowBytes);
        (GrowingBuffer bytes, GrowingBuffer written) = (_bytes, _behind);
        var sum = new SquaredError();
        TensorError[] codes = [.. Enumerable.Range(0, pool.Workers).Select(_ => new TensorError(format))];
        var all = new Job
        {
            Name = name,
            Source = source,
            Format = format,
            Range = range,
            Importance = importance,
            RowBytes = rowBytes,
            Errors = _errors,
            Codes = codes,
            Solves = Solves && Hqq.Suits(format),
            CodeStride = TensorError.Stride(source.Rows, source.Columns),
        };
        // While a chunk is quantized, the one before it is written.
        Task writing = Task.CompletedTask;
        try
        {
            for (int first = 0; first < source.Rows; first += chunk)
            {
                cancellation.ThrowIfCancellationRequested();
                int rows = Math.Min(chunk, source.Rows - first);
                Job job = all with { First = first, Rows = rows, Bytes = bytes.Pointer };
                pool.Run(ref job);
                foreach (SquaredError row in _errors.AsSpan(0, rows)) sum += row;
                writing.GetAwaiter().GetResult();
                writing = Write(write, bytes.Pointer, rows * rowBytes, first, rows);
                (bytes, written) = (written, bytes);
            }
            writing.GetAwaiter().GetResult();
        }
        finally
        {
            // Whatever went wrong, the buffer stays until it is not read any more.
            Task.WaitAny([writing], CancellationToken.None);
        }
        foreach (TensorError other in codes.AsSpan(1)) codes[0].Merge(other);
        return RoundingError.Of(sum, codes[0]);
    }

    /// <summary>The format with the table that a matrix shares, learned from all its weights.</summary>
    /// <param name="name">For messages.</param>
    /// <param name="importance">Of each column, or of each column of each expert, or empty.</param>
    /// <param name="progress">Told the share that is done.</param>
    /// <exception cref="UnusableInputException">A weight is not finite.</exception>
    public Format Learn(string name, IWeightSource source, Format format, DynamicRange? range, ReadOnlyMemory<float> importance, Action<double> progress, CancellationToken cancellation)
    {
        var check = new FiniteJob { Name = name, Source = source };
        pool.Run(ref check);
        return format.ForColumns(source.Columns).Learn(source, new LearnOptions
        {
            Importance = MeanOf(importance.Span, source.Columns),
            Range = range,
            Threads = pool.Workers,
            Progress = Report,
        });

        void Report(double share)
        {
            cancellation.ThrowIfCancellationRequested();
            progress(share);
        }
    }

    /// <summary>The mean over experts.</summary>
    private static float[] MeanOf(ReadOnlySpan<float> importance, int columns)
    {
        if (importance.IsEmpty) return [];
        var mean = new float[columns];
        for (int i = 0; i < importance.Length; i++) mean[i % columns] += importance[i] * columns / importance.Length;
        return mean;
    }

    private struct FiniteJob : IParallelJob
    {
        public required string Name;
        public required IWeightSource Source;

        public readonly void Run(int worker, int workers)
        {
            (int from, int to) = ParallelRows.Share(Source.Rows, worker, workers);
            var row = new float[Source.Columns];
            for (int r = from; r < to; r++)
            {
                Source.ReadRow(r, row);
                if (!TensorPrimitives.IsFiniteAll<float>(row)) throw NotFinite(Name, r, row);
            }
        }
    }

    private static Task Write(RowsWriter write, byte* bytes, int length, int first, int rows) =>
        Task.Run(() => write(new ReadOnlySpan<byte>(bytes, length), first, rows));

    public void Dispose()
    {
        _bytes.Dispose();
        _behind.Dispose();
    }

    private struct Job : IParallelJob
    {
        public required string Name;
        public required IWeightSource Source;
        public required Format Format;
        public required DynamicRange? Range;
        public required ReadOnlyMemory<float> Importance;
        public required int RowBytes;
        public int First, Rows;
        public byte* Bytes;
        public required SquaredError[] Errors;
        public required TensorError[] Codes;
        public required bool Solves;
        public required int CodeStride;
        private int _taken;

        public void Run(int worker, int workers)
        {
            var row = new float[Source.Columns];
            var decoded = new float[Source.Columns];
            Hqq? solver = Solves ? new Hqq(Format) : null;
            for (int from; (from = Interlocked.Add(ref _taken, RowsAtOnce) - RowsAtOnce) < Rows;)
                for (int r = from; r < Math.Min(from + RowsAtOnce, Rows); r++)
                    Quantize(r, row, decoded, solver, Codes[worker]);
        }

        private readonly void Quantize(int r, float[] row, float[] decoded, Hqq? solver, TensorError codes)
        {
            Source.ReadRow(First + r, row);
            float power = TensorPrimitives.SumOfSquares<float>(row);
            // What is not finite shows in the sum; so does what is too large for its square, which is not wrong.
            if (!float.IsFinite(power) && !TensorPrimitives.IsFiniteAll<float>(row)) throw NotFinite(Name, First + r, row);
            var bytes = new Span<byte>(Bytes + (nint)r * RowBytes, RowBytes);
            var options = new FitOptions { Importance = ImportanceOf(First + r), Range = Range };
            if (solver is null) Format.Encode(row, options, bytes);
            else solver.Encode(row, options, bytes);
            Format.Decode(bytes, decoded);
            if ((First + r) % CodeStride == 0) codes.Add(row, bytes, decoded);
            Errors[r] = SquaredError.Of(row, decoded, power);
        }

        private readonly ReadOnlySpan<float> ImportanceOf(int row)
        {
            if (Importance.IsEmpty) return default;
            int rowsOfOne = Source.Rows / (Importance.Length / Source.Columns);
            return Importance.Span.Slice(row / rowsOfOne * Source.Columns, Source.Columns);
        }
    }

    private static UnusableInputException NotFinite(string name, int r, float[] row)
    {
        int column = Array.FindIndex(row, w => !float.IsFinite(w));
        return new UnusableInputException(
            Invariant($"tensor {Quote.Name(name)} holds {row[column]} at row {r}, column {column}; a model with weights that are no finite numbers cannot be quantized, repair or download it again"));
    }
}

/// <summary>Takes the stored bytes of a run of rows, one run after the other, on any thread.</summary>
public delegate void RowsWriter(ReadOnlySpan<byte> bytes, int firstRow, int rows);
