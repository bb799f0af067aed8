using BenchmarkDotNet.Attributes;
using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Benchmarks;

/// <summary>
/// What the first product of a weight that lies in a file costs beside the product: copying its bytes, and dealing them out to
/// the tiles that the kernels read, in fresh memory.
/// </summary>
public unsafe class Packing : IDisposable
{
    private const int Columns = 2048, Rows = 1 << 13;

    private readonly WorkerPool _pool = new();
    private Weight _weight = null!;

    public static IEnumerable<string> Formats => Format.All.Where(PackedMatrix.CanPack).Select(f => f.Name);

    [ParamsSource(nameof(Formats))]
    public string Stored { get; set; } = "";

    [GlobalSetup]
    public void Setup()
    {
        Weight made = SampleRows.Allocate(Stored, Rows, Columns);
        _weight = new Weight("w", made.Format, Rows, Columns, made.Data, new FileInMemory(made));
    }

    [Benchmark]
    public long Pack() => PackedMatrix.Pack(_weight, _pool).Bytes;

    public void Dispose()
    {
        _pool.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>A file that the system holds in memory, as far as packing can tell.</summary>
    private sealed class FileInMemory(Weight contents) : IMappedMemory
    {
        /// <summary>Kept for the memory that it owns.</summary>
        private readonly Weight _contents = contents;

        public void Read(byte* address, Span<byte> into) => new ReadOnlySpan<byte>(address, into.Length).CopyTo(into);

        public void DoneWith(byte* address, nint bytes) { }
    }
}
