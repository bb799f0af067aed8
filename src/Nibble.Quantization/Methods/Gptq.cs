using System.Globalization;
using System.Numerics.Tensors;
using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Quantization.Calibration;

namespace Nibble.Quantization.Methods;

/// <summary>Choices of <see cref="Gptq"/>.</summary>
public sealed record GptqOptions
{
    /// <summary>Share of the mean of the moments' diagonal that is added to it.</summary>
    public double Damping { get; init; } = 0.01;

    /// <summary>
    /// Columns with the largest inputs first. All blocks are then fitted beforehand (static groups), so the file's layout
    /// does not change.
    /// </summary>
    public bool LargestFirst { get; init; }

    /// <summary>
    /// How much of the inputs' drift from the original model's is made up for, 0 to 1. All of it would follow the calibration
    /// text too closely: half was best on 64 to 200 chunks of 512 tokens.
    /// </summary>
    public float DriftShare { get; init; } = 0.5f;

    /// <summary>
    /// Sweeps over the codes after all are chosen, each changed where that lessens the error. Codes of more than eight weights
    /// get one at most.
    /// </summary>
    public int Sweeps { get; init; } = 4;

    /// <summary>
    /// How often, after that, the scales and minimums of the blocks move, and the codes once more after them
    /// (<see cref="ScaleDescent"/>).
    /// </summary>
    public int ScaleSweeps { get; init; }

    public DynamicRange? Range { get; init; }
}

/// <summary>
/// GPTQ: columns are rounded one after the other, and the error of each is made up for by those still to come, as the
/// second moments of the inputs tell (Frantar et al., arXiv:2210.17323). It reaches a format through fit and put alone, so
/// it serves every format: two-level blocks are fitted when their first column is reached, on weights already corrected.
/// </summary>
public sealed class Gptq : CalibratedMethod
{
    /// <summary>Rows whose products with the moments are made together.</summary>
    internal const int ChunkRows = 256;

    /// <summary>Rows that one worker takes through the columns together.</summary>
    private const int BatchRows = 8;

    /// <summary>Columns whose corrections reach the rest of the row together.</summary>
    private const int LazyColumns = 128;

    /// <summary>A sweep over longer codes costs as much as they did, and a second gained nothing on rings of 64.</summary>
    private const int LongStride = 8;

    private readonly GptqOptions _options;

    public Gptq(GptqOptions? options = null) => _options = options ?? new GptqOptions();

    /// <summary>With scales that are tuned once the codes are chosen.</summary>
    internal static Gptq WithScales { get; } = new(new GptqOptions { ScaleSweeps = 3 });

    public override string Name => TunesScales ? "gptq+scales" : "gptq";

    public override bool TunesScales => _options.ScaleSweeps > 0;

    public override bool SeesDrift => _options.DriftShare > 0;

    public override bool HasFeedback => true;

    public override string? Quantize(Weight source, Weight target, InputMoments moments, OutputDrift? drift, WorkerPool pool)
    {
        double damping = Quantize(source, target, moments, drift, _options, pool);
        return damping > _options.Damping
            ? string.Create(CultureInfo.InvariantCulture, $"{source.Name}: its inputs are too much alike; needed a damping of {damping:P0} where {_options.Damping:P0} is usual")
            : null;
    }

    /// <summary>Quantizes a matrix.</summary>
    /// <param name="source">[rows, columns].</param>
    /// <param name="target">As large; its format's block is fitted and put, row by row.</param>
    /// <param name="moments">Of the inputs that the matrix will see.</param>
    /// <param name="drift">Of the output from the original's, to be made up for as well, or null; it may be changed.</param>
    /// <returns>The damping that was needed.</returns>
    public static double Quantize(IWeightSource source, Weight target, InputMoments moments, OutputDrift? drift, GptqOptions options, WorkerPool pool)
    {
        if (target.Format is RotatedFormat { Rotation: { } rotation })
        {
            drift?.Rotate(rotation, source.Rows);
            return Quantize(new RotatedWeights(source, rotation), target.AsStored, moments.Rotated(rotation), drift, options, pool);
        }
        ErrorFeedback feedback = ErrorFeedback.Of(moments, Order(moments, target.Format, options), options.Damping, pool);
        if (target.Format.Stride > LongStride) options = options with { Sweeps = Math.Min(1, options.Sweeps) };
        using var rows = new RowChunk(source, target, moments, feedback, drift, options, pool);
        for (int first = 0; first < source.Rows; first += ChunkRows) rows.Quantize(first, Math.Min(ChunkRows, source.Rows - first));
        return feedback.Damping;
    }

    /// <summary>All columns, in runs as long as the format's stride.</summary>
    private static int[] Order(InputMoments moments, Format format, GptqOptions options)
    {
        int stride = format.Stride;
        IEnumerable<int> runs = Enumerable.Range(0, moments.Columns / stride);
        if (options.LargestFirst)
            runs = runs.OrderByDescending(r => Enumerable.Range(r * stride, stride).Max(c => moments[c, c]));
        return [.. runs.SelectMany(r => Enumerable.Range(r * stride, stride))];
    }

    /// <summary>What an error in a column will cost once the later columns have made up for what they can.</summary>
    private static float[] Importance(ErrorFeedback feedback)
    {
        var importance = new float[feedback.Columns];
        for (int i = 0; i < importance.Length; i++)
            importance[feedback.Order[i]] = 1 / (feedback.Diagonal(i) * feedback.Diagonal(i));
        return importance;
    }

    /// <summary>
    /// Some rows at a time: what a product does for all of them, making up for drift and the start of the sweeps, stands between
    /// what each does for itself.
    /// </summary>
    private sealed class RowChunk(IWeightSource source, Weight target, InputMoments moments, ErrorFeedback feedback, OutputDrift? drift, GptqOptions options, WorkerPool pool) : IDisposable
    {
        private readonly float[] _importance = Importance(feedback);
        private readonly CoordinateDescent? _descent = options.Sweeps > 0 ? new CoordinateDescent(target.Format, moments, feedback.Damping) : null;

        // The rows as they would best be and as they are rounded, in the order of the columns; the error of each, and its gradient.
        private readonly Activation _aims = new(), _rounded = new(), _errors = new(), _gradients = new();

        public void Quantize(int first, int count)
        {
            _aims.Resize(count, source.Columns);
            for (int r = 0; r < count; r++) source.ReadRow(first + r, _aims.Row(r));
            if (drift is not null) MakeUpFor(drift, first, count);
            _rounded.Resize(count, source.Columns);
            _errors.Resize(count, moments.Stride);
            var round = new RoundJob { Chunk = this, First = first, Count = count };
            pool.Run(ref round);
            if (_descent is null) return;
            moments.Multiply(_errors, _gradients, pool);
            var refine = new RefineJob { Chunk = this, First = first, Count = count };
            pool.Run(ref refine);
        }

        /// <summary>
        /// The rows that come nearest, on the inputs as they are now, to what the original rows made of the original's inputs:
        /// w + d H⁻¹, with d the drift of the output (the asymmetric calibration of Li et al., GPTAQ, arXiv:2504.02692).
        /// </summary>
        private void MakeUpFor(OutputDrift drift, int first, int count)
        {
            _rounded.Resize(count, source.Columns);
            for (int r = 0; r < count; r++)
                for (int i = 0; i < source.Columns; i++) _rounded.Row(r)[i] = drift.Row(first + r)[feedback.Order[i]];
            feedback.Solve(_rounded, pool);
            for (int r = 0; r < count; r++)
                for (int i = 0; i < source.Columns; i++) _aims.Row(r)[feedback.Order[i]] += options.DriftShare * _rounded.Row(r)[i];
        }

        private struct RoundJob : IParallelJob
        {
            public RowChunk Chunk;
            public int First, Count;
            private int _taken;

            public void Run(int worker, int workers) => Chunk.Round(First, Count, ref _taken);
        }

        private void Round(int first, int count, ref int taken)
        {
            var batch = new RowBatch(target, feedback, _aims, _importance, options);
            for (int from; (from = Interlocked.Add(ref taken, BatchRows) - BatchRows) < count;)
            {
                int rows = Math.Min(BatchRows, count - from);
                batch.Quantize(first, from, rows);
                for (int r = from; r < from + rows; r++)
                {
                    target.ReadRow(first + r, _rounded.Row(r));
                    TensorPrimitives.Subtract(_aims.Row(r), _rounded.Row(r), _errors.Row(r));
                    _errors.Row(r)[source.Columns..].Clear();
                }
            }
        }

        private struct RefineJob : IParallelJob
        {
            public RowChunk Chunk;
            public int First, Count;
            private int _taken;

            public void Run(int worker, int workers) => Chunk.Refine(First, Count, ref _taken);
        }

        private void Refine(int first, int count, ref int taken)
        {
            ScaleDescent? scales = options.ScaleSweeps > 0 ? new ScaleDescent(target.Format, moments, _descent!.Added) : null;
            for (int r; (r = Interlocked.Increment(ref taken) - 1) < count;)
            {
                Span<byte> bytes = target.Row(first + r);
                Span<float> rounded = _rounded.Row(r), gradient = _gradients.Row(r)[..source.Columns];
                _descent!.Damp(_errors.Row(r)[..source.Columns], gradient);
                _descent.Refine(bytes, rounded, gradient, options.Sweeps);
                for (int sweep = 0; sweep < options.ScaleSweeps && scales!.Refine(bytes, rounded, gradient); sweep++)
                    _descent.Refine(bytes, rounded, gradient, options.Sweeps);
            }
        }

        public void Dispose()
        {
            foreach (Activation buffer in (Activation[])[_aims, _rounded, _errors, _gradients]) buffer.Dispose();
        }
    }

    /// <summary>Some rows on their way through the columns. Weights are kept in the order of quantizing.</summary>
    private sealed class RowBatch(Weight target, ErrorFeedback feedback, Activation aims, float[] importance, GptqOptions options)
    {
        private readonly Format _format = target.Format;
        private readonly int _columns = target.Columns;
        private readonly float[] _weights = new float[BatchRows * target.Columns];
        private readonly float[] _block = new float[target.Format.BlockSize];

        // The errors of the columns of one lazy run, each divided by the diagonal of U.
        private readonly float[] _errors = new float[BatchRows * (LazyColumns + target.Format.Stride)];

        /// <param name="first">The row of the target that the first aim is of.</param>
        /// <param name="from">The first aim to quantize.</param>
        /// <param name="rows">How many.</param>
        public void Quantize(int first, int from, int rows)
        {
            first += from;
            for (int r = 0; r < rows; r++) Load(first + r, r, aims.Row(from + r));
            int lazy = Math.Max(LazyColumns / _format.Stride, 1) * _format.Stride;
            for (int start = 0; start < _columns; start += lazy)
            {
                int end = Math.Min(start + lazy, _columns);
                for (int i = start; i < end; i += _format.Stride)
                    for (int r = 0; r < rows; r++)
                        Round(first + r, r, i, start, end);
                for (int r = 0; r < rows; r++) Correct(r, start, end);
            }
        }

        private void Load(int row, int r, ReadOnlySpan<float> aim)
        {
            Span<float> weights = Weights(r);
            for (int i = 0; i < _columns; i++) weights[i] = aim[feedback.Order[i]];
            if (!options.LargestFirst) return;
            for (int column = 0; column < _columns; column += _format.BlockSize)
                Fit(row, column, aim.Slice(column, _format.BlockSize));
        }

        private void Fit(int row, int column, ReadOnlySpan<float> weights)
        {
            var fit = new FitOptions { Importance = importance.AsSpan(column, _format.BlockSize), Range = options.Range };
            _format.Fit(weights, fit, Block(row, column));
        }

        /// <summary>Rounds the weights of a stride, and corrects those after them within the lazy run.</summary>
        private void Round(int row, int r, int i, int start, int end)
        {
            int stride = _format.Stride, column = feedback.Order[i];
            Span<float> weights = Weights(r);
            if (!options.LargestFirst && column % _format.BlockSize == 0)
            {
                FinishBlock(r, i, start);
                Fit(row, column, _block);
            }
            Span<float> rounded = stackalloc float[stride];
            _format.Put(Block(row, column), column % _format.BlockSize, weights.Slice(i, stride), rounded);
            Span<float> errors = Errors(r)[(i - start)..];
            for (int k = 0; k < stride; k++)
            {
                // The stride's own errors are solved through its triangle of U.
                float e = weights[i + k] - rounded[k];
                for (int m = 0; m < k; m++) e -= errors[m] * feedback.Row(i + m, i + k, i + k + 1)[0];
                errors[k] = e / feedback.Diagonal(i + k);
            }
            int after = i + stride;
            for (int k = 0; k < stride && after < end; k++)
                Subtract(feedback.Row(i + k, after, end), errors[k], weights[after..end]);
        }

        /// <summary>
        /// The weights of the block that starts at i as they stand: those beyond the lazy run still lack the corrections of
        /// the run's columns so far.
        /// </summary>
        private void FinishBlock(int r, int i, int start)
        {
            Span<float> weights = Weights(r);
            weights.Slice(i, _format.BlockSize).CopyTo(_block);
            int end = Math.Min(start + Math.Max(LazyColumns / _format.Stride, 1) * _format.Stride, _columns);
            if (end >= i + _format.BlockSize) return;
            Span<float> late = _block.AsSpan(end - i);
            for (int k = start; k < i; k++) Subtract(feedback.Row(k, end, i + _format.BlockSize), Errors(r)[k - start], late);
        }

        /// <summary>Carries the errors of a lazy run to the columns after it.</summary>
        private void Correct(int r, int start, int end)
        {
            Span<float> rest = Weights(r)[end..];
            for (int i = start; i < end; i++) Subtract(feedback.Row(i, end, _columns), Errors(r)[i - start], rest);
        }

        private static void Subtract(ReadOnlySpan<float> row, float error, Span<float> weights)
        {
            if (error != 0) TensorPrimitives.MultiplyAdd(row, -error, weights, weights);
        }

        private Span<float> Weights(int r) => _weights.AsSpan(r * _columns, _columns);

        private Span<float> Errors(int r) => _errors.AsSpan(r * (_errors.Length / BatchRows), _errors.Length / BatchRows);

        private Span<byte> Block(int row, int column) =>
            target.Row(row).Slice(column / _format.BlockSize * _format.BlockBytes, _format.BlockBytes);
    }
}
