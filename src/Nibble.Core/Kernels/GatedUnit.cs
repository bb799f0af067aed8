using System.Numerics.Tensors;
using Nibble.Core.Threading;

namespace Nibble.Core.Kernels;

/// <summary>The nonlinearity of a feed-forward block.</summary>
public enum Nonlinearity
{
    /// <summary>x σ(x).</summary>
    Silu,
    /// <summary>x Φ(x), Φ the normal distribution.</summary>
    Gelu,
    /// <summary>GELU's approximation by a hyperbolic tangent.</summary>
    GeluTanh,
    /// <summary>x σ(1.702 x).</summary>
    GeluSigmoid,
    /// <summary>max(x, 0).</summary>
    Relu,
    /// <summary>max(x, 0)².</summary>
    ReluSquared,
    /// <summary>gpt-oss: the gate is cut at 7, the other factor to ±7 and raised by one; x σ(1.702 x).</summary>
    ClampedSwiGlu,
}

/// <summary>The middle of a feed-forward block: f(gate) * up, or f(up) where there is no gate.</summary>
public static unsafe class GatedUnit
{
    private const float ClampLimit = 7;

    /// <summary>y = f(gate) * up, row by row.</summary>
    /// <param name="gate">Rows of <paramref name="width"/>, <paramref name="gateStride"/> floats apart.</param>
    /// <param name="up">Rows as those of the gate, or null for y = f(gate).</param>
    /// <param name="y">[rows, width]; may be the gate where the strides agree.</param>
    public static void Rows(Nonlinearity f, float* gate, float* up, int gateStride, int rows, int width, float* y, WorkerPool pool)
    {
        var job = new Job { F = f, Gate = gate, Up = up, Stride = gateStride, RowCount = rows, Width = width, Y = y };
        if ((long)rows * width < 8192) job.Run(0, 1);
        else pool.Run(ref job);
    }

    private struct Job : IParallelJob
    {
        public Nonlinearity F;
        public float* Gate;
        public float* Up;
        public int Stride;
        public int RowCount;
        public int Width;
        public float* Y;

        public readonly void Run(int worker, int workers)
        {
            // One token alone is shared by columns, several by rows.
            (int from, int to) = ParallelRows.Share(RowCount == 1 ? Width : RowCount, worker, workers, RowCount == 1 ? 16 : 1);
            if (RowCount == 1) Part(0, from, to);
            else for (int r = from; r < to; r++) Part(r, 0, Width);
        }

        private readonly void Part(int row, int from, int to)
        {
            const int Tile = 256;
            float* gate = Gate + (nint)row * Stride, up = Up + (nint)row * Stride, y = Y + (nint)row * Width;
            for (int at = from; at < to; at += Tile)
            {
                int n = Math.Min(Tile, to - at);
                Apply(F, new(gate + at, n), Up is null ? default : new(up + at, n), new(y + at, n));
            }
        }
    }

    /// <summary>y = f(gate) * up for at most 256 numbers; an empty <paramref name="up"/> stands for ones.</summary>
    private static void Apply(Nonlinearity f, ReadOnlySpan<float> gate, ReadOnlySpan<float> up, Span<float> y)
    {
        Span<float> g = stackalloc float[gate.Length];
        Span<float> t = stackalloc float[gate.Length];
        gate.CopyTo(g);
        switch (f)
        {
            case Nonlinearity.Silu:
                Sigmoid(g, 1, t);
                break;
            case Nonlinearity.GeluSigmoid:
                Sigmoid(g, 1.702f, t);
                break;
            case Nonlinearity.ClampedSwiGlu:
                TensorPrimitives.Min(g, ClampLimit, g);
                Sigmoid(g, 1.702f, t);
                break;
            case Nonlinearity.Gelu:
                for (int i = 0; i < t.Length; i++) t[i] = NormalDistribution(g[i]);
                break;
            case Nonlinearity.GeluTanh:
                HalfTanh(g, t);
                break;
            case Nonlinearity.Relu:
                TensorPrimitives.Max(g, 0f, g);
                t.Fill(1);
                break;
            case Nonlinearity.ReluSquared:
                TensorPrimitives.Max(g, 0f, g);
                g.CopyTo(t);
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(f));
        }
        TensorPrimitives.Multiply(g, t, t);
        if (f == Nonlinearity.ClampedSwiGlu && !up.IsEmpty)
        {
            TensorPrimitives.Max(up, -ClampLimit, g);
            TensorPrimitives.Min(g, ClampLimit, g);
            TensorPrimitives.Add(g, 1f, g);
            TensorPrimitives.Multiply(t, g, y);
        }
        else if (up.IsEmpty) t.CopyTo(y);
        else TensorPrimitives.Multiply(t, up, y);
    }

    private static void Sigmoid(ReadOnlySpan<float> x, float slope, Span<float> y)
    {
        TensorPrimitives.Multiply(x, slope, y);
        TensorPrimitives.Sigmoid(y, y);
    }

    /// <summary>(1 + tanh(√(2/π) (x + 0.044715 x³))) / 2.</summary>
    private static void HalfTanh(ReadOnlySpan<float> x, Span<float> y)
    {
        TensorPrimitives.Multiply(x, x, y);
        TensorPrimitives.Multiply(y, 0.044715f, y);
        TensorPrimitives.Add(y, 1f, y);
        TensorPrimitives.Multiply(y, x, y);
        TensorPrimitives.Multiply(y, 0.7978845608f, y);
        TensorPrimitives.Tanh(y, y);
        TensorPrimitives.Add(y, 1f, y);
        TensorPrimitives.Multiply(y, 0.5f, y);
    }

    /// <summary>Φ(x) = erfc(-x/√2)/2, by Numerical Recipes' rational Chebyshev fit of erfc (relative error under 1.2e-7).</summary>
    private static float NormalDistribution(float x)
    {
        double z = Math.Abs(x) * 0.70710678118654752, t = 1 / (1 + 0.5 * z);
        double tail = 0.5 * t * Math.Exp(-z * z - 1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 +
            t * (-0.18628806 + t * (0.27886807 + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277)))))))));
        return (float)(x >= 0 ? 1 - tail : tail);
    }
}
