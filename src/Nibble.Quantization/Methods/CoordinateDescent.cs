using System.Numerics.Tensors;
using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Quantization.Calibration;

namespace Nibble.Quantization.Methods;

/// <summary>
/// Better codes for rows that are quantized already: each stride of weights in turn moves to where the error of the layer's
/// output is least, the others being what they are (Behdin et al., QuantEase, arXiv:2309.01885). Scales stay. A step that
/// does not lessen the error is not taken.
/// </summary>
internal sealed class CoordinateDescent
{
    private readonly Format _format;
    private readonly int _columns, _stride;

    private readonly InputMoments _moments;

    /// <summary>The inverses of the damped moments' diagonal blocks, one a stride: [stride, stride].</summary>
    private readonly float[] _inverses;

    /// <param name="moments">Of the inputs.</param>
    /// <param name="damping">Share of the mean diagonal that is added to it.</param>
    public CoordinateDescent(Format format, InputMoments moments, double damping)
    {
        (_format, _columns, _stride) = (format, moments.Columns, format.Stride);
        _moments = moments;
        moments.Complete();
        double mean = 0;
        for (int i = 0; i < _columns; i++) mean += moments[i, i] / (double)_columns;
        Added = (float)(damping * mean);
        _inverses = new float[_columns * _stride];
        for (int i = 0; i < _columns; i += _stride) Invert(i, _inverses.AsSpan(i * _stride, _stride * _stride));
    }

    /// <summary>What the damping adds to the diagonal of the moments.</summary>
    public float Added { get; }

    /// <summary>Makes e H, with the damping, of the e H without.</summary>
    public void Damp(ReadOnlySpan<float> error, Span<float> gradient) => TensorPrimitives.MultiplyAdd(error, Added, gradient, gradient);

    /// <summary>Improves a row.</summary>
    /// <param name="bytes">As it is quantized.</param>
    /// <param name="rounded">The weights that these stand for, changed with them.</param>
    /// <param name="gradient">e H of its error e, with the damping; changed with it.</param>
    /// <param name="sweeps">How often each stride may move.</param>
    public void Refine(Span<byte> bytes, Span<float> rounded, Span<float> gradient, int sweeps)
    {
        if (_stride == 1)
        {
            RefineSingles(bytes, rounded, gradient, sweeps);
            return;
        }
        for (int sweep = 0; sweep < sweeps; sweep++)
        {
            bool moved = false;
            for (int i = 0; i < _columns; i += _stride) moved |= Move(bytes, i, rounded, gradient);
            if (!moved) return;
        }
    }

    /// <summary>
    /// The same where a code is one weight. Whatever lies between a weight and an aim that was rounded to it is rounded to it
    /// too, so most weights need not be tried again.
    /// </summary>
    private void RefineSingles(Span<byte> bytes, Span<float> rounded, Span<float> gradient, int sweeps)
    {
        float[] low = rounded.ToArray(), high = rounded.ToArray();
        Span<float> moved = stackalloc float[1];
        for (int sweep = 0, moves = -1; sweep < sweeps && moves != 0; sweep++)
        {
            moves = 0;
            for (int i = 0; i < _columns; i++)
            {
                float before = rounded[i], aim = before + _inverses[i] * gradient[i];
                if (aim >= low[i] && aim <= high[i]) continue;
                Span<byte> block = bytes.Slice(i / _format.BlockSize * _format.BlockBytes, _format.BlockBytes);
                _format.Put(block, i % _format.BlockSize, new ReadOnlySpan<float>(in aim), moved);
                float change = moved[0] - before;
                (low[i], high[i]) = change == 0 ? (MathF.Min(low[i], aim), MathF.Max(high[i], aim)) : (MathF.Min(moved[0], aim), MathF.Max(moved[0], aim));
                if (change == 0) continue;
                moves++;
                rounded[i] = moved[0];
                Add(i, -change, gradient);
            }
        }
    }

    /// <summary>Moves one stride if that lessens e H eᵀ; <paramref name="gradient"/> is e H.</summary>
    private bool Move(Span<byte> bytes, int i, Span<float> rounded, Span<float> gradient)
    {
        Span<float> aim = stackalloc float[_stride], moved = stackalloc float[_stride], before = stackalloc float[_stride];
        ReadOnlySpan<float> inverse = _inverses.AsSpan(i * _stride, _stride * _stride);
        rounded.Slice(i, _stride).CopyTo(before);
        for (int k = 0; k < _stride; k++)
            aim[k] = before[k] + TensorPrimitives.Dot(inverse.Slice(k * _stride, _stride), gradient.Slice(i, _stride));
        Span<byte> block = bytes.Slice(i / _format.BlockSize * _format.BlockBytes, _format.BlockBytes);
        _format.Put(block, i % _format.BlockSize, aim, moved);
        if (moved.SequenceEqual(before)) return false;
        // The change of the error's cost: d H d - 2 d (H e).
        double change = 0;
        for (int k = 0; k < _stride; k++)
        {
            float d = moved[k] - before[k];
            change -= 2 * d * gradient[i + k];
            for (int m = 0; m < _stride; m++) change += d * Damped(i + k, i + m) * (moved[m] - before[m]);
        }
        if (change >= 0)
        {
            _format.Put(block, i % _format.BlockSize, before, moved);
            return false;
        }
        for (int k = 0; k < _stride; k++)
        {
            if (moved[k] != before[k]) Add(i + k, before[k] - moved[k], gradient);
            rounded[i + k] = moved[k];
        }
        return true;
    }

    /// <summary>The gradient once the error of a column has changed.</summary>
    private void Add(int column, float error, Span<float> gradient)
    {
        TensorPrimitives.MultiplyAdd(_moments.Row(column), error, gradient, gradient);
        gradient[column] += Added * error;
    }

    private float Damped(int row, int column) => _moments.Row(row)[column] + (row == column ? Added : 0);

    /// <summary>The inverse of the diagonal block at i, by Gauss and Jordan; it is positive definite, so pivots are not sought.</summary>
    private void Invert(int i, Span<float> inverse)
    {
        int n = _stride;
        Span<double> a = stackalloc double[n * n], b = stackalloc double[n * n];
        b.Clear();
        for (int r = 0; r < n; r++)
        {
            b[r * n + r] = 1;
            for (int c = 0; c < n; c++) a[r * n + c] = Damped(i + r, i + c);
        }
        for (int p = 0; p < n; p++)
        {
            double pivot = 1 / a[p * n + p];
            for (int c = 0; c < n; c++) (a[p * n + c], b[p * n + c]) = (a[p * n + c] * pivot, b[p * n + c] * pivot);
            for (int r = 0; r < n; r++)
            {
                if (r == p) continue;
                double factor = a[r * n + p];
                for (int c = 0; c < n; c++)
                {
                    a[r * n + c] -= factor * a[p * n + c];
                    b[r * n + c] -= factor * b[p * n + c];
                }
            }
        }
        for (int c = 0; c < n * n; c++) inverse[c] = (float)b[c];
    }
}
