using Nibble.Core.Kernels;
using Nibble.Core.Threading;

namespace Nibble.Models.Decoder;

/// <summary>Multi-head attention, its key and value heads shared by groups of query heads (Ainslie et al., arXiv:2305.13245).</summary>
internal sealed unsafe class SelfAttention
{
    private readonly int _index;
    private readonly ModelConfig _config;
    private readonly LayerConfig _layer;
    private readonly RotaryTable? _rotary;
    private readonly bool _isFused;
    private readonly LinearGroup _projections, _output;
    private readonly Norm[] _queryNorms, _keyNorms;
    private readonly float[] _sinks;

    public SelfAttention(LayerParts parts, int layer, RotaryTable? rotary)
    {
        (_index, _config, _layer, _rotary) = (layer, parts.Config, parts.Config.Layers[layer], rotary);
        string block = $"blk.{layer}.";
        _isFused = parts.Has($"{block}attn_qkv");
        _projections = _isFused ? new LinearGroup(parts.Linear($"{block}attn_qkv"))
            : new LinearGroup(parts.Linear($"{block}attn_q"), parts.Linear($"{block}attn_k"), parts.Linear($"{block}attn_v"));
        _output = new LinearGroup(parts.Linear($"{block}attn_output"));
        _queryNorms = Norms(parts.Norm($"{block}attn_q_norm"), _config.Heads);
        _keyNorms = Norms(parts.Norm($"{block}attn_k_norm"), _config.KvHeads);
        _sinks = parts.Vector($"{block}attn_sinks.weight");
    }

    /// <param name="output">[tokens, hidden], overwritten.</param>
    /// <param name="sum">What follows of it.</param>
    public void Run(Workspace work, Activation x, float* output, Residual sum)
    {
        Projected projected = Project(work, x);
        var prepare = new PrepareJob { Attention = this, In = projected, Work = work };
        if (work.Tokens == 1) prepare.Run(0, 1);
        else work.Pool.Run(ref prepare);
        work.Middle.Resize(work.Tokens, _config.Heads * _config.HeadSize);
        fixed (float* sinks = _sinks)
        {
            for (int s = 0; s < work.Segments.Length; s++) work.AttentionInputs.Span[s] = Input(projected, work.Segments[s], work.Middle.Floats, sinks);
            Attention.Run(work.AttentionInputs, work.Pool);
        }
        work.Middle.Changed();
        _output.Apply(work, work.Middle, [(nint)output], sum);
    }

    private AttentionInput Input(in Projected projected, Segment segment, float* output, float* sinks) => new()
    {
        Queries = projected.Queries + (nint)segment.First * projected.QueryStride,
        QueryStride = projected.QueryStride,
        Output = output + (nint)segment.First * _config.Heads * _config.HeadSize,
        Stored = segment.Stored[_index],
        Tokens = segment.Count,
        Heads = _config.Heads,
        ValueSize = _config.HeadSize,
        Position = segment.Position,
        Window = _layer.Window,
        Causal = _config.Causal,
        Scale = _layer.AttentionScale,
        SoftCap = _config.AttentionSoftCap,
        Sinks = sinks,
    };

    /// <summary>Where the heads of a batch lie after projection: rows of floats, a token each.</summary>
    private struct Projected
    {
        public float* Queries, Keys, Values;
        public int QueryStride, KeyStride;
    }

    private Projected Project(Workspace work, Activation x)
    {
        int queries = _config.Heads * _config.HeadSize, keys = _config.KvHeads * _config.HeadSize, tokens = work.Tokens;
        if (_isFused)
        {
            int width = queries + 2 * keys;
            float* all = work.Queries.Of((nint)tokens * width);
            _projections.Apply(work, x, [(nint)all], default(NothingMore));
            return new Projected { Queries = all, Keys = all + queries, Values = all + queries + keys, QueryStride = width, KeyStride = width };
        }
        var projected = new Projected
        {
            Queries = work.Queries.Of((nint)tokens * queries),
            Keys = work.Keys.Of((nint)tokens * keys),
            Values = work.Values.Of((nint)tokens * keys),
            QueryStride = queries,
            KeyStride = keys,
        };
        _projections.Apply(work, x, [(nint)projected.Queries, (nint)projected.Keys, (nint)projected.Values], default(NothingMore));
        return projected;
    }

    /// <summary>Normalizes and rotates queries and keys in place, and stores keys and values; each worker takes some tokens.</summary>
    private struct PrepareJob : IParallelJob
    {
        public SelfAttention Attention;
        public Projected In;
        public Workspace Work;

        public readonly void Run(int worker, int workers)
        {
            (int from, int to) = ParallelRows.Share(Work.Tokens, worker, workers);
            foreach (Segment segment in Work.Segments)
                for (int t = Math.Max(from, segment.First); t < Math.Min(to, segment.First + segment.Count); t++)
                    Attention.Prepare(In, segment.Stored[Attention._index], t, segment.Position + t - segment.First);
        }
    }

    private void Prepare(in Projected projected, KeyValueRows stored, int t, int position)
    {
        int size = _config.HeadSize;
        float* queries = projected.Queries + (nint)t * projected.QueryStride, keys = projected.Keys + (nint)t * projected.KeyStride;
        float* values = projected.Values + (nint)t * projected.KeyStride;
        Normalize(_queryNorms, queries, _config.Heads);
        Normalize(_keyNorms, keys, _config.KvHeads);
        if (_rotary is not null)
        {
            for (int h = 0; h < _config.Heads; h++) _rotary.Rotate(queries + h * size, t);
            for (int h = 0; h < _config.KvHeads; h++) _rotary.Rotate(keys + h * size, t);
        }
        for (int h = 0; h < _config.KvHeads; h++)
            stored.Store(h, position, new(keys + h * size, size), new(values + h * size, size));
    }

    private void Normalize(Norm[] norms, float* heads, int count)
    {
        if (norms.Length == 0) return;
        if (norms[0].Width != _config.HeadSize) norms[0].Row(heads);
        else for (int h = 0; h < count; h++) norms[h % norms.Length].Row(heads + h * _config.HeadSize);
    }

    /// <summary>One norm for all heads, or for all as one vector; or one for each.</summary>
    private Norm[] Norms(Norm? norm, int heads) => norm is null ? []
        : _config.QueryKeyNorm != QueryKeyNorm.PerHead ? [norm]
        : [.. Enumerable.Range(0, heads).Select(h => norm.Slice(h * _config.HeadSize, _config.HeadSize))];
}
