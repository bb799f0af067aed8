using BenchmarkDotNet.Attributes;
using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Benchmarks;

/// <summary>Attention over stored keys and values.</summary>
public unsafe class Layers : IDisposable
{
    private const int Heads = 32, StoredHeads = 8, HeadSize = 64, Context = 4096, Width = Heads * HeadSize, MostTokens = 64;

    private readonly AttentionInput[] _input = new AttentionInput[1];
    private readonly WorkerPool _pool = new();
    private KeyValueRows _stored = null!;
    private readonly NativeBuffer _x = new(MostTokens * Width * sizeof(float)), _y = new(MostTokens * Width * sizeof(float));

    [Params(1, MostTokens)]
    public int Tokens { get; set; }

    /// <summary>Of keys and values.</summary>
    [Params("F32", "F16")]
    public string Cache { get; set; } = "";

    [GlobalSetup]
    public void Setup()
    {
        _stored = new KeyValueRows(Format.Parse(Cache), StoredHeads, Context, HeadSize, HeadSize);
        var random = new Random(1);
        var key = new float[HeadSize];
        var value = new float[HeadSize];
        for (int position = 0; position < Context; position++)
            for (int head = 0; head < StoredHeads; head++)
            {
                foreach (ref float v in key.AsSpan()) v = random.NextSingle() - 0.5f;
                foreach (ref float v in value.AsSpan()) v = random.NextSingle() - 0.5f;
                _stored.Store(head, position, key, value);
            }
        for (int i = 0; i < MostTokens * Width; i++) ((float*)_x.Pointer)[i] = random.NextSingle() - 0.5f;
        _input[0] = new AttentionInput
        {
            Queries = (float*)_x.Pointer,
            QueryStride = Width,
            Output = (float*)_y.Pointer,
            Stored = _stored,
            Tokens = Tokens,
            Heads = Heads,
            ValueSize = HeadSize,
            Position = Context - Tokens,
            Causal = true,
            Scale = 0.125f,
        };
    }

    /// <summary>The last tokens of 4,096 look back on all of them.</summary>
    [Benchmark]
    public void Attend() => Attention.Run(_input, _pool);

    public void Dispose()
    {
        _pool.Dispose();
        _stored?.Dispose();
        _x.Dispose();
        _y.Dispose();
        GC.SuppressFinalize(this);
    }
}
