using System.Numerics.Tensors;
using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Quantization.Calibration;
using Nibble.Quantization.Ranges;

namespace Nibble.Quantization.Methods;

/// <summary>
/// AWQ (Lin et al., arXiv:2306.00978): columns with large inputs are scaled up, so that they are rounded with a finer step, and
/// what comes before is scaled down. The scale is the input's magnitude to a power that is searched for; then the extremes
/// of each block are clipped where that lessens the error. Rounding itself is to nearest.
/// </summary>
/// <remarks>
/// The magnitude is the root of the mean square where the paper has the mean of absolutes. Errors are those of the outputs of the layers
/// that read the input, by its second moments; the paper runs the block again.
/// </remarks>
public sealed class Awq : CalibratedMethod
{
    /// <summary>Exponents that are tried: 0, 1/20, ... 19/20.</summary>
    private const int Exponents = 20;

    /// <summary>Rows of each matrix that an exponent is tried on.</summary>
    private const int TriedRows = 32;

    /// <summary>Shares of the largest magnitude that a block is clipped at: 1, 19/20, ... 11/20.</summary>
    private const int Clips = 10;

    public override string Name => "awq";

    public override bool Folds => true;

    public override float[] ChooseScales(IReadOnlyList<(Weight Weight, Format Format)> readers, InputMoments moments, WorkerPool pool)
    {
        var job = new ExponentJob { Readers = readers, Moments = moments, Errors = new double[Exponents] };
        pool.Run(ref job);
        int best = 0;
        for (int i = 1; i < Exponents; i++)
            if (job.Errors[i] < job.Errors[best]) best = i;
        return Scales(moments, best);
    }

    /// <summary>The magnitudes to the power, around 1.</summary>
    private static float[] Scales(InputMoments moments, int exponent)
    {
        float[] magnitudes = [.. moments.Importance().Select(MathF.Sqrt)];
        float least = Math.Max(1e-4f * TensorPrimitives.Max<float>(magnitudes), 1e-30f);
        float[] scales = [.. magnitudes.Select(m => MathF.Pow(Math.Max(m, least), exponent / (float)Exponents))];
        float middle = MathF.Sqrt(TensorPrimitives.Max<float>(scales) * TensorPrimitives.Min<float>(scales));
        TensorPrimitives.Divide(scales, middle, scales);
        return scales;
    }

    private struct ExponentJob : IParallelJob
    {
        public IReadOnlyList<(Weight Weight, Format Format)> Readers;
        public InputMoments Moments;
        public double[] Errors;
        private int _taken;

        public void Run(int worker, int workers)
        {
            for (int i; (i = Interlocked.Increment(ref _taken) - 1) < Exponents;)
            {
                float[] scales = Scales(Moments, i);
                foreach ((Weight weight, Format format) in Readers) Errors[i] += Error(weight, format, scales);
            }
        }

        private readonly double Error(Weight weight, Format format, float[] scales)
        {
            float[] importance = Moments.Importance(), row = new float[weight.Columns], rounded = new float[weight.Columns];
            for (int c = 0; c < importance.Length; c++) importance[c] /= scales[c] * scales[c];
            var bytes = new byte[format.RowBytes(weight.Columns)];
            int count = Math.Min(TriedRows, weight.Rows);
            double error = 0;
            for (int r = 0; r < count; r++)
            {
                weight.ReadRow((int)((long)r * weight.Rows / count), row);
                TensorPrimitives.Multiply(row, scales, row);
                format.Encode(row, new FitOptions { Importance = importance }, bytes);
                format.Decode(bytes, rounded);
                TensorPrimitives.Subtract(row, rounded, row);
                TensorPrimitives.Divide(row, scales, row);
                error += Moments.Quadratic(row, 0) * weight.Rows / count;
            }
            return error;
        }
    }

    public override string? Quantize(Weight source, Weight target, InputMoments moments, OutputDrift? drift, WorkerPool pool)
    {
        // Queries and keys meet in a product, where clipping was found to harm; a format without a range has nothing to clip.
        bool clips = target.Format.HasRange && !source.Name.Contains("attn_q", StringComparison.Ordinal) && !source.Name.Contains("attn_k", StringComparison.Ordinal);
        var job = new ClipJob { Source = source, Target = target, Moments = moments, Importance = moments.Importance(), Clips = clips ? Clips : 1 };
        pool.Run(ref job);
        return null;
    }

    private static readonly MinMaxRange Extremes = new();

    private struct ClipJob : IParallelJob
    {
        public Weight Source, Target;
        public InputMoments Moments;
        public float[] Importance;
        public int Clips;

        public readonly void Run(int worker, int workers)
        {
            (int from, int to) = ParallelRows.Share(Source.Rows, worker, workers);
            Format format = Target.Format;
            float[] row = new float[Source.Columns], rounded = new float[format.BlockSize], clipped = new float[format.BlockSize];
            var trial = new byte[format.BlockBytes];
            for (int r = from; r < to; r++)
            {
                Source.ReadRow(r, row);
                format.Encode(row, new FitOptions { Importance = Importance }, Target.Row(r));
                for (int b = 0, at = 0; Clips > 1 && at < row.Length; b++, at += format.BlockSize)
                    Clip(row.AsSpan(at, format.BlockSize), at, Target.Row(r).Slice(b * format.BlockBytes, format.BlockBytes), rounded, clipped, trial);
            }
        }

        /// <summary>Fits the block to weights that are cut, as far as this lessens its error, and rounds the weights as they are.</summary>
        private readonly void Clip(ReadOnlySpan<float> weights, int column, Span<byte> block, Span<float> rounded, float[] clipped, byte[] trial)
        {
            Format format = Target.Format;
            format.Decode(block, rounded);
            TensorPrimitives.Subtract(weights, rounded, rounded);
            double best = Moments.Quadratic(rounded, column);
            float largest = Math.Abs(TensorPrimitives.MaxMagnitude(weights));
            for (int i = 1; i < Clips; i++)
            {
                float limit = largest * (1 - i / (2f * Clips));
                TensorPrimitives.Clamp(weights, -limit, limit, clipped);
                format.Fit(clipped, new FitOptions { Importance = Importance.AsSpan(column, weights.Length), Range = Extremes }, trial);
                for (int k = 0; k < weights.Length; k += format.Stride) format.Put(trial, k, weights.Slice(k, format.Stride), rounded.Slice(k, format.Stride));
                TensorPrimitives.Subtract(weights, rounded, rounded);
                double error = Moments.Quadratic(rounded, column);
                if (error >= best) continue;
                best = error;
                trial.CopyTo(block);
            }
        }
    }
}
