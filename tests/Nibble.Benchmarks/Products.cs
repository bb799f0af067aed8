using BenchmarkDotNet.Attributes;
using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Benchmarks;

/// <summary>The matrix product of every format: with one token, as in decoding, and with 64, as in prefill.</summary>
public unsafe class Products : IDisposable
{
    // 2,048 columns as in a model of 1 G weights; enough rows that no cache holds a format of 4 bits or more.
    private const int Columns = 2048, Rows = 1 << 15, EncodedRows = 32;

    private readonly WorkerPool _pool = new();
    private readonly Activation _x = new();
    private readonly NativeBuffer _y = new((nint)Rows * 64 * sizeof(float));
    private Weight _weight = null!;

    public static IEnumerable<string> Formats => Format.All.Select(f => f.Name);

    [ParamsSource(nameof(Formats))]
    public string Stored { get; set; } = "";

    [Params(1, 64)]
    public int Tokens { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        var random = new Random(1);
        var rows = new SampleRows(random, EncodedRows, Columns);
        Format format = Format.Parse(Stored).ForColumns(Columns).Learn(rows, new LearnOptions());
        _weight = Weight.Allocate("w", format, Rows, Columns);
        for (int r = 0; r < Rows; r++)
            if (r < EncodedRows) format.Encode(rows[r], default, _weight.Row(r));
            else _weight.Row(r % EncodedRows).CopyTo(_weight.Row(r));
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

    /// <summary>Rows of weights as models have them, to learn from and to encode.</summary>
    private sealed class SampleRows : IWeightSource
    {
        private readonly float[] _weights;

        public SampleRows(Random random, int rows, int columns)
        {
            (Rows, Columns) = (rows, columns);
            _weights = new float[rows * columns];
            foreach (ref float w in _weights.AsSpan()) w = 0.04f * (random.NextSingle() + random.NextSingle() + random.NextSingle() - 1.5f);
        }

        public int Rows { get; }
        public int Columns { get; }
        public Span<float> this[int row] => _weights.AsSpan(row * Columns, Columns);
        public void ReadRow(int row, Span<float> weights) => this[row].CopyTo(weights);
    }
}
