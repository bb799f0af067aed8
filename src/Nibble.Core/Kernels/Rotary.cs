using System.Numerics;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Kernels;

/// <summary>
/// Rotary position embedding (Su et al., arXiv:2104.09864): each pair of a head's numbers is turned by an angle that is
/// the position times the pair's frequency.
/// </summary>
public static unsafe class Rotary
{
    /// <summary>
    /// Cosines and sines of one position, as <see cref="Rotate"/> wants them: for halves one a pair, twice over; for
    /// interleaved pairs each twice in a row. The sine that multiplies a pair's second number is negative.
    /// </summary>
    /// <param name="inverse">Radians a position for each pair.</param>
    /// <param name="magnitude">Multiplies both (YaRN's attention factor).</param>
    /// <param name="cos">Twice as long as <paramref name="inverse"/>.</param>
    /// <param name="sin">Twice as long as <paramref name="inverse"/>.</param>
    public static void Angles(ReadOnlySpan<float> inverse, float magnitude, int position, bool interleaved, Span<float> cos, Span<float> sin)
    {
        int pairs = inverse.Length;
        for (int i = 0; i < pairs; i++)
        {
            (double s, double c) = Math.SinCos((double)position * inverse[i]);
            (int first, int second) = interleaved ? (2 * i, 2 * i + 1) : (i, i + pairs);
            cos[first] = cos[second] = (float)c * magnitude;
            sin[second] = (float)s * magnitude;
            sin[first] = -sin[second];
        }
    }

    /// <summary>Turns the first 2 * <paramref name="pairs"/> numbers of a head in place.</summary>
    public static void Rotate(float* head, float* cos, float* sin, int pairs, bool interleaved)
    {
        if (interleaved) RotatePairs(head, cos, sin, 2 * pairs);
        else RotateHalves(head, cos, sin, pairs);
    }

    private static void RotateHalves(float* head, float* cos, float* sin, int pairs)
    {
        float* other = head + pairs;
        sin += pairs;
        int i = 0;
        for (; i <= pairs - Vector<float>.Count; i += Vector<float>.Count)
        {
            Vector<float> x = Vector.Load(head + i), y = Vector.Load(other + i), c = Vector.Load(cos + i), s = Vector.Load(sin + i);
            Vector.Store(x * c - y * s, head + i);
            Vector.Store(y * c + x * s, other + i);
        }
        for (; i < pairs; i++)
        {
            (float x, float y) = (head[i], other[i]);
            head[i] = x * cos[i] - y * sin[i];
            other[i] = y * cos[i] + x * sin[i];
        }
    }

    private static void RotatePairs(float* head, float* cos, float* sin, int count)
    {
        int i = 0;
        for (; i <= count - 4; i += 4)
        {
            Vector128<float> x = Vector128.Load(head + i);
            Vector128<float> swapped = Vector128.Shuffle(x, Vector128.Create(1, 0, 3, 2));
            Vector128.Store(x * Vector128.Load(cos + i) + swapped * Vector128.Load(sin + i), head + i);
        }
        for (; i < count; i += 2)
        {
            (float x, float y) = (head[i], head[i + 1]);
            head[i] = x * cos[i] + y * sin[i];
            head[i + 1] = y * cos[i + 1] + x * sin[i + 1];
        }
    }
}
