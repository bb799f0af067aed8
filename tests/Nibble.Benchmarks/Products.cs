using BenchmarkDotNet.Attributes;
using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Benchmarks;

/// <summary>The matrix product of every format: with one token, as in decoding, with 4, as in a batch, and with 64, as in prefill.</summary>
public unsafe class Products : IDisposable
{
    // 2,048 columns as in a model of 1 G weights; enough rows that no cache holds a format of 4 bits or more.
    private const int Columns = 2048, Rows = 1 << 15;

    private readonly WorkerPool _pool = new();
    private readonly Activation _x = new();
    private readonly NativeBuffer _y = new((nint)Rows * 64 * sizeof(float));
    private Weight _weight = null!;

    /// <summary>The list, and a logarithm to a base that its name fixes.</summary>
    public static IEnumerable<string> Formats => [.. Format.All.Select(f => f.Name), "Log4-b1.5"];

    [ParamsSource(nameof(Formats))]
    public string Stored { get; set; } = "";

    [Params(1, 4, 64)]
    public int Tokens { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        var random = new Random(1);
        _weight = SampleRows.Allocate(Stored, Rows, Columns);
        _x.Resize(Tokens, Columns);
        for (int t = 0; t < Tokens; t++)
            foreach (ref float v in _x.Row(t)) v = random.NextSingle() - 0.5f;
    }

    [Benchmark]
    public void Product()
    {
        _x.Changed();
        MatrixProduct.Multiply(_weight, _x, (float*)_y.Pointer, _pool);
    }

    public void Dispose()
    {
        _pool.Dispose();
        _x.Dispose();
        _y.Dispose();
        GC.SuppressFinalize(this);
    }
}
