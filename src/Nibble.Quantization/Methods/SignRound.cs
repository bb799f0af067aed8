using System.Numerics.Tensors;
using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Quantization.Calibration;

namespace Nibble.Quantization.Methods;

/// <summary>
/// Rounding learned by the sign of its gradient (Cheng et al., SignRound, arXiv:2309.05516, as AutoRound has it): every weight
/// is shifted by up to half a step before it is rounded to nearest, all shifts move together by the sign of the error's
/// gradient, 200 times by less and less, and the best rounding on the way is kept. In linear formats the scale of each
/// group, and its minimum, move alike.
/// </summary>
/// <remarks>
/// The paper runs a transformer block on batches of texts and takes the gradient of its output's error. Here the error is that of
/// the layer's own output over all tokens at once, tr(E H Eᵀ) with the second moments H, whose gradient is E H: rows are independent,
/// no text is run again, and nothing depends on a seed; what one layer's error does to the next is not seen.
/// A step is that of a uniform quantizer which errs as much as the block does, so every format has one.
/// </remarks>
public sealed class SignRound : CalibratedMethod
{
    private const int Steps = 200;

    /// <summary>Scales move every so many steps, since all codes of their group follow.</summary>
    private const int StepsOfScales = 8;

    /// <summary>The largest share by which scales move at a time.</summary>
    private const float ScaleRate = 0.01f;

    public override string Name => "signround";

    public override string? Quantize(Weight source, Weight target, InputMoments moments, OutputDrift? drift, WorkerPool pool)
    {
        new ImportanceRounding().Quantize(source, target, moments, null, pool);
        moments.Complete();
        var job = new Job { Source = source, Target = target, Moments = moments };
        pool.Run(ref job);
        return null;
    }

    private struct Job : IParallelJob
    {
        public Weight Source, Target;
        public InputMoments Moments;
        private int _taken;

        public void Run(int worker, int workers)
        {
            var row = new RowLearner(Target.Format, Target.Columns, Moments);
            var weights = new float[Source.Columns];
            for (int r; (r = Interlocked.Increment(ref _taken) - 1) < Source.Rows;)
            {
                Source.ReadRow(r, weights);
                row.Learn(weights, Target.Row(r));
            }
        }
    }

    /// <summary>One row after the other, each from its nearest rounding.</summary>
    private sealed class RowLearner(Format format, int columns, InputMoments moments)
    {
        private readonly float[] _shifts = new float[columns], _rounded = new float[columns], _gradient = new float[columns], _steps = new float[columns];
        private readonly float[] _shifted = new float[format.Stride], _new = new float[format.Stride];
        private readonly byte[] _present = new byte[format.RowBytes(columns)];
        private readonly LinearFormat? _linear = format is LinearFormat { BlockGroups: > 0, Kind: not LinearKind.ZeroPoint } linear ? linear : null;

        /// <param name="bytes">The row as it is quantized; improved where it can be.</param>
        public void Learn(ReadOnlySpan<float> weights, Span<byte> bytes)
        {
            Start(weights, bytes);
            double best = Cost(weights);
            for (int step = 0; step < Steps; step++)
            {
                float rate = (1 - step / (float)Steps) / Steps;
                for (int i = 0; i < columns; i++) _shifts[i] = Math.Clamp(_shifts[i] + (_gradient[i] > 0 ? rate : -rate), -0.5f, 0.5f);
                if (_linear is not null && step % StepsOfScales == StepsOfScales - 1) MoveScales(_linear, ScaleRate * rate * Steps);
                Round(weights);
                double cost = Cost(weights);
                if (cost >= best) continue;
                best = cost;
                _present.CopyTo(bytes);
            }
        }

        private void Start(ReadOnlySpan<float> weights, ReadOnlySpan<byte> bytes)
        {
            bytes.CopyTo(_present);
            format.Decode(bytes, _rounded);
            _shifts.AsSpan().Clear();
            _gradient.AsSpan().Clear();
            for (int i = 0; i < columns; i++)
                if (weights[i] - _rounded[i] is var error and not 0) TensorPrimitives.MultiplyAdd(moments.Row(i), error, _gradient, _gradient);
            for (int at = 0; at < columns; at += format.BlockSize)
            {
                float distance = TensorPrimitives.Distance(weights.Slice(at, format.BlockSize), _rounded.AsSpan(at, format.BlockSize));
                _steps.AsSpan(at, format.BlockSize).Fill(distance * MathF.Sqrt(12f / format.BlockSize));
            }
        }

        /// <summary>e H eᵀ; the gradient is e H.</summary>
        private double Cost(ReadOnlySpan<float> weights)
        {
            double cost = 0;
            for (int i = 0; i < columns; i++) cost += (weights[i] - _rounded[i]) * (double)_gradient[i];
            return cost;
        }

        /// <summary>Rounds the shifted weights; the gradient follows what changed.</summary>
        private void Round(ReadOnlySpan<float> weights)
        {
            int stride = format.Stride;
            for (int i = 0; i < columns; i += stride)
            {
                for (int k = 0; k < stride; k++) _shifted[k] = weights[i + k] + _shifts[i + k] * _steps[i + k];
                format.Put(_present.AsSpan(i / format.BlockSize * format.BlockBytes, format.BlockBytes), i % format.BlockSize, _shifted, _new);
                for (int k = 0; k < stride; k++)
                {
                    if (_new[k] == _rounded[i + k]) continue;
                    TensorPrimitives.MultiplyAdd(moments.Row(i + k), _rounded[i + k] - _new[k], _gradient, _gradient);
                    _rounded[i + k] = _new[k];
                }
            }
        }

        /// <summary>Moves every group's scale and minimum by the sign of their gradients, the codes being what they are.</summary>
        private void MoveScales(LinearFormat linear, float rate)
        {
            int groups = linear.BlockGroups, size = linear.BlockSize / groups;
            float[] scales = new float[groups], zeros = new float[groups];
            for (int at = 0; at < columns; at += linear.BlockSize)
            {
                Span<byte> block = _present.AsSpan(at / linear.BlockSize * linear.BlockBytes, linear.BlockBytes);
                linear.ReadParameters(block, scales, zeros);
                for (int g = 0; g < groups; g++)
                {
                    double slope = 0, sum = 0;
                    for (int i = at + g * size; i < at + (g + 1) * size; i++)
                    {
                        slope += _gradient[i] * (double)(_rounded[i] - zeros[g]);
                        sum += _gradient[i];
                    }
                    if (linear.Kind == LinearKind.Minimum) zeros[g] += rate * MathF.Abs(scales[g]) * Math.Sign(sum);
                    scales[g] *= 1 + rate * Math.Sign(slope);
                }
                linear.WriteParameters(block, scales, zeros);
            }
        }
    }
}
