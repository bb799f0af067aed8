using BenchmarkDotNet.Attributes;
using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Benchmarks;

/// <summary>What lies between two products: a norm, the rounding of an input to codes, the gated unit. One thread.</summary>
public unsafe class Elementwise : IDisposable
{
    private const int Width = 2048, MostTokens = 64;

    private readonly WorkerPool _pool = new(1);
    private readonly NativeBuffer _x = new(MostTokens * Width * sizeof(float)), _y = new(MostTokens * Width * sizeof(float));
    private readonly Activation _input = new(), _gated = new();
    private readonly float[] _weight = new float[Width];

    [Params(1, MostTokens)]
    public int Tokens { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        var random = new Random(1);
        for (int i = 0; i < MostTokens * Width; i++) ((float*)_x.Pointer)[i] = random.NextSingle() - 0.5f;
        Array.Fill(_weight, 1);
        _input.Resize(Tokens, Width);
        _gated.Resize(Tokens, Width);
        new Span<float>(_x.Pointer, Tokens * Width).CopyTo(new Span<float>(_input.Floats, Tokens * Width));
    }

    [Benchmark]
    public void Norm() => Norms.Rows(NormKind.Rms, (float*)_x.Pointer, Tokens, Width, _weight, [], 1e-5f, (float*)_y.Pointer, _pool);

    /// <summary>8-bit codes with a scale for 32.</summary>
    [Benchmark]
    public void Codes()
    {
        _input.Changed();
        _input.MakeCodes(_pool);
    }

    [Benchmark]
    public void Gate()
    {
        var unit = new GatedUnit { F = Nonlinearity.Silu, Gate = (float*)_x.Pointer, Up = (float*)_x.Pointer, Stride = Width, Y = _gated };
        unit.Run(0, unit.Units);
    }

    public void Dispose()
    {
        _pool.Dispose();
        _input.Dispose();
        _gated.Dispose();
        _x.Dispose();
        _y.Dispose();
        GC.SuppressFinalize(this);
    }
}
