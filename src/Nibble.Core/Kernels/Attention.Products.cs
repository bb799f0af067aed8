using System.Numerics;

namespace Nibble.Core.Kernels;

/// <summary>The two products of attention over a tile. Two rows share what they load, so that additions outnumber loads.</summary>
public static unsafe partial class Attention
{
    private static int Lanes => Vector<float>.Count;

    /// <summary>scores[r * KeyBlock + j] = queries[r * size] · keys[j * size].</summary>
    private static void Scores(float* queries, int rows, float* keys, int size, int count, float* scores)
    {
        for (int r = 0; r < rows; r += 2)
        {
            // An odd last row is computed with itself.
            float* a = queries + r * size, b = queries + Math.Min(r + 1, rows - 1) * size;
            float* sa = scores + r * KeyBlock, sb = scores + Math.Min(r + 1, rows - 1) * KeyBlock;
            int j = 0;
            for (; j <= count - 4; j += 4) FourKeys(a, b, keys + (nint)j * size, size, sa + j, sb + j);
            for (; j < count; j++) OneKey(a, b, keys + (nint)j * size, size, sa + j, sb + j);
        }
    }

    /// <summary>Products of two queries with four keys: eight chains of additions.</summary>
    private static void FourKeys(float* a, float* b, float* key, int size, float* sa, float* sb)
    {
        float* key1 = key + size, key2 = key1 + size, key3 = key2 + size;
        Vector<float> a0 = default, a1 = default, a2 = default, a3 = default, b0 = default, b1 = default, b2 = default, b3 = default;
        int i = 0;
        for (; i <= size - Lanes; i += Lanes)
        {
            Vector<float> x = Vector.Load(a + i), y = Vector.Load(b + i), k = Vector.Load(key + i);
            a0 = Vector.MultiplyAddEstimate(x, k, a0);
            b0 = Vector.MultiplyAddEstimate(y, k, b0);
            k = Vector.Load(key1 + i);
            a1 = Vector.MultiplyAddEstimate(x, k, a1);
            b1 = Vector.MultiplyAddEstimate(y, k, b1);
            k = Vector.Load(key2 + i);
            a2 = Vector.MultiplyAddEstimate(x, k, a2);
            b2 = Vector.MultiplyAddEstimate(y, k, b2);
            k = Vector.Load(key3 + i);
            a3 = Vector.MultiplyAddEstimate(x, k, a3);
            b3 = Vector.MultiplyAddEstimate(y, k, b3);
        }
        (sa[0], sa[1], sa[2], sa[3]) = (Vector.Sum(a0), Vector.Sum(a1), Vector.Sum(a2), Vector.Sum(a3));
        (sb[0], sb[1], sb[2], sb[3]) = (Vector.Sum(b0), Vector.Sum(b1), Vector.Sum(b2), Vector.Sum(b3));
        for (; i < size; i++)
            for (int j = 0; j < 4; j++)
            {
                sa[j] += a[i] * key[j * size + i];
                if (sb != sa) sb[j] += b[i] * key[j * size + i];
            }
    }

    private static void OneKey(float* a, float* b, float* key, int size, float* sa, float* sb)
    {
        Vector<float> a0 = default, b0 = default;
        int i = 0;
        for (; i <= size - Lanes; i += Lanes)
        {
            Vector<float> k = Vector.Load(key + i);
            a0 = Vector.MultiplyAddEstimate(Vector.Load(a + i), k, a0);
            b0 = Vector.MultiplyAddEstimate(Vector.Load(b + i), k, b0);
        }
        (float x, float y) = (Vector.Sum(a0), Vector.Sum(b0));
        for (; i < size; i++) (x, y) = (x + a[i] * key[i], y + b[i] * key[i]);
        (*sa, *sb) = (x, y);
    }

    /// <summary>sums[r] += Σ weights[r * KeyBlock + j] values[j], for rows of <paramref name="size"/>.</summary>
    private static void AddWeighted(float* weights, int rows, float* values, int stride, int size, int count, float* sums)
    {
        int r = 0;
        for (; r <= rows - 2; r += 2)
        {
            float* wa = weights + r * KeyBlock, wb = wa + KeyBlock, sa = sums + r * size, sb = sa + size;
            int i = 0;
            for (; i <= size - 4 * Lanes; i += 4 * Lanes) FourVectors(wa, wb, values + i, stride, count, sa + i, sb + i);
            for (; i <= size - Lanes; i += Lanes)
            {
                OneVector(wa, values + i, stride, count, sa + i);
                OneVector(wb, values + i, stride, count, sb + i);
            }
            Rest(wa, values, stride, size, i, count, sa);
            Rest(wb, values, stride, size, i, count, sb);
        }
        if (r == rows) return;
        float* w = weights + r * KeyBlock, s = sums + r * size;
        int at = 0;
        for (; at <= size - Lanes; at += Lanes) OneVector(w, values + at, stride, count, s + at);
        Rest(w, values, stride, size, at, count, s);
    }

    /// <summary>Four vectors of two rows of sums stay in registers over all values.</summary>
    private static void FourVectors(float* wa, float* wb, float* value, int stride, int count, float* sa, float* sb)
    {
        Vector<float> a0 = Vector.Load(sa), a1 = Vector.Load(sa + Lanes), a2 = Vector.Load(sa + 2 * Lanes), a3 = Vector.Load(sa + 3 * Lanes);
        Vector<float> b0 = Vector.Load(sb), b1 = Vector.Load(sb + Lanes), b2 = Vector.Load(sb + 2 * Lanes), b3 = Vector.Load(sb + 3 * Lanes);
        for (int j = 0; j < count; j++, value += stride)
        {
            Vector<float> x = new(wa[j]), y = new(wb[j]), v = Vector.Load(value);
            a0 = Vector.MultiplyAddEstimate(x, v, a0);
            b0 = Vector.MultiplyAddEstimate(y, v, b0);
            v = Vector.Load(value + Lanes);
            a1 = Vector.MultiplyAddEstimate(x, v, a1);
            b1 = Vector.MultiplyAddEstimate(y, v, b1);
            v = Vector.Load(value + 2 * Lanes);
            a2 = Vector.MultiplyAddEstimate(x, v, a2);
            b2 = Vector.MultiplyAddEstimate(y, v, b2);
            v = Vector.Load(value + 3 * Lanes);
            a3 = Vector.MultiplyAddEstimate(x, v, a3);
            b3 = Vector.MultiplyAddEstimate(y, v, b3);
        }
        Vector.Store(a0, sa);
        Vector.Store(a1, sa + Lanes);
        Vector.Store(a2, sa + 2 * Lanes);
        Vector.Store(a3, sa + 3 * Lanes);
        Vector.Store(b0, sb);
        Vector.Store(b1, sb + Lanes);
        Vector.Store(b2, sb + 2 * Lanes);
        Vector.Store(b3, sb + 3 * Lanes);
    }

    private static void OneVector(float* weights, float* value, int stride, int count, float* sums)
    {
        Vector<float> sum = Vector.Load(sums);
        for (int j = 0; j < count; j++, value += stride) sum = Vector.MultiplyAddEstimate(new Vector<float>(weights[j]), Vector.Load(value), sum);
        Vector.Store(sum, sums);
    }

    private static void Rest(float* weights, float* values, int stride, int size, int from, int count, float* sums)
    {
        for (int i = from; i < size; i++)
            for (int j = 0; j < count; j++) sums[i] += weights[j] * values[(nint)j * stride + i];
    }
}
