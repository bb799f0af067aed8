using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Nibble.Core.Kernels.Generated;

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

/// <summary>The middle of a feed-forward block, y = f(gate) * up, in chunks of 32 columns.</summary>
public unsafe struct GatedUnit : IRowsJob
{
    public Nonlinearity F;
    /// <summary>A row for each token of <see cref="Y"/>, <see cref="Stride"/> floats apart.</summary>
    public float* Gate;
    /// <summary>Rows as those of the gate, or null for y = f(gate).</summary>
    public float* Up;
    public int Stride;
    /// <summary>What is written.</summary>
    public Activation Y;
    /// <summary>Whether <see cref="Y"/> expects its codes.</summary>
    public bool MakesCodes;

    public readonly int Units => Y.Chunks;

    public void Read(ReadOnlySpan<nint> results, int stride)
    {
        Gate = (float*)results[0];
        Up = results.Length > 1 ? (float*)results[1] : null;
        Stride = stride;
    }

    public readonly void Run(int from, int to)
    {
        int at = from * Activation.Chunk, end = Math.Min(to * Activation.Chunk, Y.Columns);
        if (WideGate.Of(F, Up is not null) is { } wide) at += Apply(wide, at, end);
        for (int token = 0; token < Y.Tokens && at < end; token++)
        {
            nint first = (nint)token * Stride + at;
            Apply(F, new(Gate + first, end - at), Up is null ? default : new(Up + first, end - at), Y.Row(token)[at..end]);
        }
        if (MakesCodes) Y.MakeCodes(from, to);
    }

    /// <summary>Writes what whole vectors of 16 hold, of all tokens; what is left is so of the last columns alone, however they are shared.</summary>
    /// <returns>The columns that were written.</returns>
    private readonly int Apply(WideGate code, int at, int end)
    {
        int vectors = (end - at) / WideGate.Lanes, columns = vectors * WideGate.Lanes;
        if (vectors == 0) return 0;
        var arguments = new WideGate.Arguments
        {
            Gate = Gate + at,
            Up = Up + at,
            Y = Y.Floats + at,
            Vectors = vectors,
            Rows = Y.Tokens,
            Skip = (nint)(Stride - columns) * sizeof(float),
            SkipY = (nint)(Y.Columns - columns) * sizeof(float),
        };
        code.Apply(ref arguments);
        return columns;
    }

    /// <summary>y = f(gate) * up; an empty <paramref name="up"/> stands for ones.</summary>
    private static void Apply(Nonlinearity f, ReadOnlySpan<float> gate, ReadOnlySpan<float> up, Span<float> y)
    {
        switch (f)
        {
            case Nonlinearity.Silu: Apply<Silu>(gate, up, y); break;
            case Nonlinearity.Gelu: Apply<Gelu>(gate, up, y); break;
            case Nonlinearity.GeluTanh: Apply<GeluTanh>(gate, up, y); break;
            case Nonlinearity.GeluSigmoid: Apply<GeluSigmoid>(gate, up, y); break;
            case Nonlinearity.Relu: Apply<Relu>(gate, up, y); break;
            case Nonlinearity.ReluSquared: Apply<ReluSquared>(gate, up, y); break;
            case Nonlinearity.ClampedSwiGlu: Apply<ClampedSwiGlu>(gate, up, y); break;
            default: throw new ArgumentOutOfRangeException(nameof(f));
        }
    }

    private static void Apply<TGate>(ReadOnlySpan<float> gate, ReadOnlySpan<float> up, Span<float> y) where TGate : struct, IGate
    {
        int lanes = Vector256<float>.Count, i = 0;
        for (; i <= y.Length - lanes; i += lanes)
            Gated<TGate>(Vector256.Create(gate[i..]), up.IsEmpty ? default : Vector256.Create(up[i..]), !up.IsEmpty).CopyTo(y[i..]);
        if (i == y.Length) return;
        // What is left goes the same way, so that a number does not depend on its place.
        Span<float> g = stackalloc float[lanes], u = stackalloc float[lanes];
        gate[i..].CopyTo(g);
        if (!up.IsEmpty) up[i..].CopyTo(u);
        Gated<TGate>(Vector256.Create(g), Vector256.Create(u), !up.IsEmpty).CopyTo(g);
        g[..(y.Length - i)].CopyTo(y[i..]);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Gated<TGate>(Vector256<float> gate, Vector256<float> up, bool hasUp) where TGate : struct, IGate =>
        hasUp ? TGate.Of(gate) * TGate.Factor(up) : TGate.Of(gate);

    /// <summary>The GELUs are x σ(z), and z is this times x, or this times (x + the other times x³).</summary>
    internal const float SigmoidLinear = 1.702f, TanhLinear = 1.5957691216f, TanhCubic = 0.044715f;

    /// <summary>A nonlinearity, eight numbers at a time.</summary>
    private interface IGate
    {
        static abstract Vector256<float> Of(Vector256<float> x);

        /// <summary>What the other factor becomes first.</summary>
        static virtual Vector256<float> Factor(Vector256<float> up) => up;
    }

    private readonly struct Silu : IGate
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Of(Vector256<float> x) => x * Exponential.Sigmoid(x);
    }

    private readonly struct GeluSigmoid : IGate
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Of(Vector256<float> x) => x * Exponential.Sigmoid(SigmoidLinear * x);
    }

    /// <summary>x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2, and (1 + tanh(z)) / 2 is σ(2 z).</summary>
    private readonly struct GeluTanh : IGate
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Of(Vector256<float> x) =>
            x * Exponential.Sigmoid(TanhLinear * x * (TanhCubic * x * x + Vector256<float>.One));
    }

    private readonly struct Gelu : IGate
    {
        public static Vector256<float> Of(Vector256<float> x)
        {
            for (int i = 0; i < Vector256<float>.Count; i++) x = x.WithElement(i, x[i] * NormalDistribution(x[i]));
            return x;
        }
    }

    private readonly struct Relu : IGate
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Of(Vector256<float> x) => Vector256.Max(x, Vector256<float>.Zero);
    }

    private readonly struct ReluSquared : IGate
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Of(Vector256<float> x) => Relu.Of(x) * Relu.Of(x);
    }

    private readonly struct ClampedSwiGlu : IGate
    {
        private const float Limit = 7;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Of(Vector256<float> x) => GeluSigmoid.Of(Vector256.Min(x, Vector256.Create(Limit)));

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> Factor(Vector256<float> up) =>
            Vector256.Min(Vector256.Max(up, Vector256.Create(-Limit)), Vector256.Create(Limit)) + Vector256<float>.One;
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
