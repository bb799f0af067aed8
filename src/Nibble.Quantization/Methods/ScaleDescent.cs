using System.Numerics.Tensors;
using Nibble.Core.Formats;
using Nibble.Quantization.Calibration;

namespace Nibble.Quantization.Methods;

/// <summary>
/// Better scales and minimums for rows that are quantized already, their codes being what they are: each parameter of a block in turn
/// moves to where the error of the layer's output is least, e H eᵀ being a parabola in it, and to the nearest number that can be
/// stored there. A step that does not lessen the error is not taken. Not for use from two threads at once.
/// </summary>
/// <param name="format">Its <see cref="Format.BlockParameters"/> move.</param>
/// <param name="moments">H; complete.</param>
/// <param name="added">To the diagonal of H.</param>
internal sealed class ScaleDescent(Format format, InputMoments moments, float added)
{
    private readonly IReadOnlyList<BlockParameter> _parameters = format.BlockParameters;
    private readonly float[] _moved = new float[format.BlockSize], _change = new float[format.BlockSize];

    /// <summary>Improves a row.</summary>
    /// <param name="bytes">As it is quantized.</param>
    /// <param name="rounded">The weights that these stand for, changed with them.</param>
    /// <param name="gradient">e H of its error e; changed with it.</param>
    /// <returns>Whether anything moved.</returns>
    public bool Refine(Span<byte> bytes, Span<float> rounded, Span<float> gradient)
    {
        bool moved = false;
        for (int at = 0; at < rounded.Length; at += format.BlockSize, bytes = bytes[format.BlockBytes..])
            foreach (BlockParameter parameter in _parameters)
                moved |= Move(parameter, bytes[..format.BlockBytes], at, rounded.Slice(at, format.BlockSize), gradient);
        return moved;
    }

    private bool Move(BlockParameter parameter, Span<byte> block, int at, Span<float> rounded, Span<float> gradient)
    {
        double before = parameter.Read(block), step = parameter.WriteOther(block) - before;
        (double slope, double curve) = Change(block, at, rounded, gradient);
        double best = curve > 0 ? before + step * slope / curve : before;
        if (parameter.Write(block, best) != before)
        {
            (slope, curve) = Change(block, at, rounded, gradient);
            if (curve < 2 * slope)
            {
                Take(at, rounded, gradient);
                return true;
            }
        }
        parameter.Write(block, before);
        return false;
    }

    /// <summary>By how much the weights of the block change, d: d (H e) and d H d.</summary>
    private (double Slope, double Curve) Change(ReadOnlySpan<byte> block, int at, ReadOnlySpan<float> rounded, ReadOnlySpan<float> gradient)
    {
        format.Decode(block, _moved);
        TensorPrimitives.Subtract(_moved, rounded, _change);
        int first = _change.AsSpan().IndexOfAnyExcept(0f), end = _change.AsSpan().LastIndexOfAnyExcept(0f) + 1;
        if (end == 0) return default;
        ReadOnlySpan<float> change = _change.AsSpan(first..end);
        double curve = added * (double)TensorPrimitives.SumOfSquares(change);
        for (int i = 0; i < change.Length; i++)
            if (change[i] != 0) curve += change[i] * (double)TensorPrimitives.Dot(change, moments.Row(at + first + i).Slice(at + first, change.Length));
        return (TensorPrimitives.Dot(change, gradient.Slice(at + first, change.Length)), curve);
    }

    private void Take(int at, Span<float> rounded, Span<float> gradient)
    {
        for (int i = 0; i < _change.Length; i++)
        {
            if (_change[i] == 0) continue;
            TensorPrimitives.MultiplyAdd(moments.Row(at + i), -_change[i], gradient, gradient);
            gradient[at + i] -= added * _change[i];
        }
        _moved.CopyTo(rounded);
    }
}
