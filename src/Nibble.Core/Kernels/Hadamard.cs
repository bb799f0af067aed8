using System.Numerics;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Kernels;

/// <summary>
/// The Walsh-Hadamard transform, scaled so that it is a rotation that is its own inverse. It spreads what one column holds
/// over all columns of its block, so that an outlier no longer takes the range from the others (QuaRot, arXiv:2404.00456).
/// </summary>
public static unsafe class Hadamard
{
    /// <summary>The largest block that a row can be cut into: the largest power of two that divides its width.</summary>
    public static int BlockOf(int width) => width & -width;

    /// <summary>Rotates every block of a row in place.</summary>
    /// <param name="row">A whole number of blocks.</param>
    /// <param name="block">A power of two.</param>
    public static void Rotate(Span<float> row, int block)
    {
        if (!BitOperations.IsPow2(block) || row.Length % block != 0)
            throw new ArgumentException($"blocks of {block} do not divide a row of {row.Length}", nameof(block));
        fixed (float* x = row)
            for (int at = 0; at < row.Length; at += block) Rotate(x + at, block);
    }

    private static void Rotate(float* x, int block)
    {
        int half = 1;
        if (block >= Vector256<float>.Count)
        {
            // Sums and differences of lanes 1, 2 and 4 apart stay within a vector of 8 columns.
            Vector256<float> scale = Vector256.Create(1 / MathF.Sqrt(block));
            for (int i = 0; i < block; i += Vector256<float>.Count)
            {
                Vector256<float> v = Vector256.Load(x + i) * scale;
                v = Step(v, Vector256.Shuffle(v, Vector256.Create(1, 0, 3, 2, 5, 4, 7, 6)), Vector256.Create(1f, -1, 1, -1, 1, -1, 1, -1));
                v = Step(v, Vector256.Shuffle(v, Vector256.Create(2, 3, 0, 1, 6, 7, 4, 5)), Vector256.Create(1f, 1, -1, -1, 1, 1, -1, -1));
                v = Step(v, Vector256.Shuffle(v, Vector256.Create(4, 5, 6, 7, 0, 1, 2, 3)), Vector256.Create(1f, 1, 1, 1, -1, -1, -1, -1));
                v.Store(x + i);
            }
            half = Vector256<float>.Count;
        }
        else
        {
            for (int i = 0; i < block; i++) x[i] /= MathF.Sqrt(block);
        }
        for (; half < block; half *= 2)
            for (int start = 0; start < block; start += 2 * half)
                Butterfly(x + start, x + start + half, half);
    }

    /// <summary>The first lane of a pair becomes the sum, the second the difference: sign is +1 for first lanes, -1 for second.</summary>
    private static Vector256<float> Step(Vector256<float> v, Vector256<float> partner, Vector256<float> sign) =>
        Vector256.FusedMultiplyAdd(v, sign, partner);

    /// <summary>(a, b) becomes (a + b, a - b).</summary>
    private static void Butterfly(float* a, float* b, int count)
    {
        int i = 0;
        for (; i <= count - Vector256<float>.Count; i += Vector256<float>.Count)
        {
            Vector256<float> x = Vector256.Load(a + i), y = Vector256.Load(b + i);
            (x + y).Store(a + i);
            (x - y).Store(b + i);
        }
        for (; i < count; i++) (a[i], b[i]) = (a[i] + b[i], a[i] - b[i]);
    }
}
