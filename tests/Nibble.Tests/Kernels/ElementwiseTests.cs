using Nibble.Core.Kernels;
using Nibble.Core.Threading;

namespace Nibble.Tests.Kernels;

/// <summary>Norms, rotation and nonlinearities against their definitions, in double precision.</summary>
public unsafe class ElementwiseTests
{
    public static TheoryData<Nonlinearity> Nonlinearities => new(Enum.GetValues<Nonlinearity>());

    [Theory, MemberData(nameof(Nonlinearities))]
    public void A_nonlinearity_is_what_its_formula_says(Nonlinearity f)
    {
        float[] gate = [.. AttentionTests.Gaussian(1999, 1).Select(g => 4 * g), 0, -0f, 30, -30, 100, -100, 1e-8f, 1e4f, -1e4f], up = AttentionTests.Gaussian(gate.Length, 2);
        using Activation gated = new(), alone = new();
        gated.Resize(1, gate.Length);
        alone.Resize(gate.Length / 8, 8);
        using var pool = new WorkerPool(2);
        fixed (float* g = gate, u = up)
        {
            var both = new GatedUnit { F = f, Gate = g, Up = u, Stride = gate.Length, Y = gated };
            pool.Run(ref both, both.Units, least: 1);
            new GatedUnit { F = f, Gate = g, Stride = 8, Y = alone }.Run(0, 1);
        }
        for (int i = 0; i < gate.Length; i++)
        {
            double expected = Defined(f, gate[i]), factor = f == Nonlinearity.ClampedSwiGlu ? Math.Clamp(up[i], -7, 7) + 1 : up[i];
            Assert.Equal(expected * factor, gated.Floats[i], 3e-6 * Math.Max(1, Math.Abs(expected * factor)));
            Assert.Equal(expected, alone.Floats[i], 3e-6 * Math.Max(1, Math.Abs(expected)));
        }
    }

    internal static double Defined(Nonlinearity f, double x) => f switch
    {
        Nonlinearity.Silu => x / (1 + Math.Exp(-x)),
        Nonlinearity.Gelu => x * NormalDistribution(x),
        Nonlinearity.GeluTanh => 0.5 * x * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x))),
        Nonlinearity.GeluSigmoid => x / (1 + Math.Exp(-1.702 * x)),
        Nonlinearity.Relu => Math.Max(x, 0),
        Nonlinearity.ReluSquared => Math.Pow(Math.Max(x, 0), 2),
        Nonlinearity.ClampedSwiGlu => Math.Min(x, 7) / (1 + Math.Exp(-1.702 * Math.Min(x, 7))),
        _ => throw new ArgumentOutOfRangeException(nameof(f)),
    };

    /// <summary>Φ(x) by Simpson's rule.</summary>
    private static double NormalDistribution(double x)
    {
        if (x < -12) return 0;
        if (x > 12) return 1;
        const int Steps = 4000;
        double from = -12, h = (x - from) / Steps, sum = 0;
        for (int i = 0; i <= Steps; i++)
            sum += (i is 0 or Steps ? 1 : i % 2 == 1 ? 4 : 2) * Math.Exp(-Math.Pow(from + i * h, 2) / 2);
        return sum * h / 3 / Math.Sqrt(2 * Math.PI);
    }

    [Theory]
    [InlineData(NormKind.Rms, 64, 1)]
    [InlineData(NormKind.Rms, 77, 9)]
    [InlineData(NormKind.Layer, 64, 5)]
    [InlineData(NormKind.Layer, 33, 1)]
    public void A_norm_is_what_its_formula_says(NormKind kind, int width, int rows)
    {
        float[] x = AttentionTests.Gaussian(rows * width, 1), weight = AttentionTests.Gaussian(width, 2), bias = AttentionTests.Gaussian(width, 3);
        for (int i = 0; i < x.Length; i++) x[i] += 3;
        var y = new float[x.Length];
        using var pool = new WorkerPool(2);
        fixed (float* from = x, to = y) Norms.Rows(kind, from, rows, width, weight, bias, 1e-5f, to, pool);
        for (int r = 0; r < rows; r++)
        {
            double[] row = [.. x.Skip(r * width).Take(width).Select(v => (double)v)];
            double mean = kind == NormKind.Layer ? row.Average() : 0, square = row.Average(v => (v - mean) * (v - mean));
            for (int i = 0; i < width; i++)
                Assert.Equal((row[i] - mean) / Math.Sqrt(square + 1e-5) * weight[i] + bias[i], y[r * width + i], 5e-6);
        }
    }

    [Theory]
    [InlineData(2, false)]
    [InlineData(6, true)]
    [InlineData(10, false)]
    [InlineData(10, true)]
    [InlineData(64, false)]
    [InlineData(64, true)]
    public void Rotation_turns_each_pair_by_position_times_frequency(int dimensions, bool interleaved)
    {
        int pairs = dimensions / 2;
        float[] head = AttentionTests.Gaussian(dimensions + 3, 1), rotated = [.. head];
        float[] inverse = [.. Enumerable.Range(0, pairs).Select(i => (float)Math.Pow(10000, -2.0 * i / dimensions))];
        float[] cos = new float[dimensions], sin = new float[dimensions];
        Rotary.Angles(inverse, 1.25f, 1234, interleaved, cos, sin);
        fixed (float* x = rotated, c = cos, s = sin) Rotary.Rotate(x, c, s, pairs, interleaved);
        for (int i = 0; i < pairs; i++)
        {
            (int a, int b) = interleaved ? (2 * i, 2 * i + 1) : (i, i + pairs);
            (double sine, double cosine) = Math.SinCos(1234.0 * inverse[i]);
            Assert.Equal(1.25 * (head[a] * cosine - head[b] * sine), rotated[a], 1e-5);
            Assert.Equal(1.25 * (head[b] * cosine + head[a] * sine), rotated[b], 1e-5);
        }
        Assert.Equal(head.AsSpan(dimensions), rotated.AsSpan(dimensions));
    }
}
