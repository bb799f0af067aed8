using BenchmarkDotNet.Attributes;
using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Benchmarks;

/// <summary>What the first product of a weight costs beside the product: dealing its bytes out to the tiles that the kernels read, in fresh memory.</summary>
public class Packing : IDisposable
{
    private const int Columns = 2048, Rows = 1 << 13;

    private readonly WorkerPool _pool = new();
    private Weight _weight = null!;

    public static IEnumerable<string> Formats => Format.All.Where(PackedMatrix.CanPack).Select(f => f.Name);

    [ParamsSource(nameof(Formats))]
    public string Stored { get; set; } = "";

    [GlobalSetup]
    public void Setup() => _weight = SampleRows.Allocate(Stored, Rows, Columns);

    [Benchmark]
    public long Pack() => PackedMatrix.Pack(_weight, _pool).Bytes;

    public void Dispose()
    {
        _pool.Dispose();
        GC.SuppressFinalize(this);
    }
}
