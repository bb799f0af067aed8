using System.Numerics.Tensors;

namespace Nibble.Quantization.Evaluation;

/// <summary>How far vectors lie from those they should be, summed over tokens in double.</summary>
public sealed class StateError
{
    private double _error, _power, _cosines;
    private long _tokens;

    /// <summary>The length of the difference over the length of what it should be, over all tokens together; 0 where nothing differs.</summary>
    public double Relative => _error == 0 ? 0 : Math.Sqrt(_error / _power);

    /// <summary>The square of <see cref="Relative"/>: error power over signal power.</summary>
    public double RelativeSquare => _error == 0 ? 0 : _error / _power;

    /// <summary>The mean over tokens of the cosine between the two; 1 where nothing differs.</summary>
    public double Cosine => _tokens == 0 ? 1 : _cosines / _tokens;

    /// <summary>Counts the vectors of some tokens.</summary>
    /// <param name="expected">[tokens, width].</param>
    /// <param name="actual">[tokens, width].</param>
    /// <param name="width">Numbers a vector.</param>
    public void Add(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual, int width)
    {
        for (int at = 0; at < expected.Length; at += width)
        {
            ReadOnlySpan<float> e = expected.Slice(at, width), a = actual.Slice(at, width);
            double distance = TensorPrimitives.Distance(e, a), length = TensorPrimitives.Norm(e);
            (_error, _power) = (_error + distance * distance, _power + length * length);
            _cosines += distance == 0 ? 1 : Math.Min(1, TensorPrimitives.CosineSimilarity(e, a));
            _tokens++;
        }
    }
}
