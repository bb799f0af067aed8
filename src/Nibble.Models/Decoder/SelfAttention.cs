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
        work.Middle.Resize(work.Tokens, _config.Heads * _config.HeadSize);
        fixed (float* sinks = _sinks)
        {
            for (int s = 0; s < work.Segments.Length; s++) work.AttentionInputs.Span[s] = Input(projected, work, work.Segments[s], sinks);
            if (work.Segments.Length == work.Tokens && HeadsAreApart) Attention.Run(work.AttentionInputs, work.Pool, Beside(work, projected));
            else
            {
                var prepare = new PrepareJob { Attention = this, In = projected, Work = work };
                if (work.Tokens == 1) prepare.Run(0, 1);
                else work.Pool.Run(ref prepare);
                Attention.Run(work.AttentionInputs, work.Pool);
            }
        }
        _output.Apply(work, work.Middle, [(nint)output], sum);
    }

    /// <summary>False if one norm is of all heads.</summary>
    private bool HeadsAreApart => (_queryNorms.Length == 0 || _queryNorms[0].Width == _config.HeadSize) && (_keyNorms.Length == 0 || _keyNorms[0].Width == _config.HeadSize);

    private int Group => _config.Heads / _config.KvHeads;

    private PrepareHeads Beside(Workspace work, in Projected projected) => new()
    {
        Attention = this,
        In = projected,
        Work = work,
        MakesCodes = Group * _config.HeadSize % Activation.Chunk == 0
            && work.Middle.ExpectCodes(_output.Linears[0].Weight, work.Pool, _output.Linears[0].InputRounding),
    };

    private AttentionInput Input(in Projected projected, Workspace work, Segment segment, float* sinks) => new()
    {
        Queries = projected.Queries + (nint)segment.First * projected.QueryStride,
        QueryStride = projected.QueryStride,
        Output = work.Middle.Floats + (nint)segment.First * _config.Heads * _config.HeadSize,
        Stored = segment.Stored[_index],
        Tokens = segment.Count,
        Heads = _config.Heads,
        ValueSize = _config.HeadSize,
        Position = segment.Position,
        Window = _layer.Window,
        Causal = _config.Causal,
        Scale = _layer.AttentionScale,
        SoftCap = _config.AttentionSoftCap,
        MayRound = work.RoundsAttention,
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

    /// <summary>Prepares heads, each worker those of some tokens.</summary>
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
                {
                    if (!Attention.HeadsAreApart) Attention.NormalizeAll(In, t);
                    for (int h = 0; h < Attention._config.KvHeads; h++) Attention.Prepare(In, segment, t, h);
                }
        }
    }

    /// <summary>With one token a sequence, whoever computes the attention of a head prepares it, and makes the codes of its output.</summary>
    private struct PrepareHeads : IKeyHeadWork
    {
        public SelfAttention Attention;
        public Projected In;
        public Workspace Work;
        public bool MakesCodes;

        public readonly void Before(int sequence, int keyHead) => Attention.Prepare(In, Work.Segments[sequence], sequence, keyHead);

        public readonly void After(int sequence, int keyHead)
        {
            int chunks = Attention.Group * Attention._config.HeadSize / Activation.Chunk;
            if (MakesCodes) Work.Middle.MakeCodes(keyHead * chunks, (keyHead + 1) * chunks);
        }
    }

    private void NormalizeAll(in Projected projected, int t)
    {
        if (_queryNorms.Length > 0) _queryNorms[0].Row(projected.Queries + (nint)t * projected.QueryStride);
        if (_keyNorms.Length > 0) _keyNorms[0].Row(projected.Keys + (nint)t * projected.KeyStride);
    }

    /// <summary>Normalizes and rotates a key and the queries that meet it in place, and stores key and value.</summary>
    private void Prepare(in Projected projected, Segment segment, int t, int keyHead)
    {
        int size = _config.HeadSize;
        float* queries = projected.Queries + (nint)t * projected.QueryStride;
        float* key = projected.Keys + (nint)t * projected.KeyStride + keyHead * size, value = projected.Values + (nint)t * projected.KeyStride + keyHead * size;
        for (int h = keyHead * Group; h < (keyHead + 1) * Group; h++) Prepare(_queryNorms, h, queries + h * size, t);
        Prepare(_keyNorms, keyHead, key, t);
        segment.Stored[_index].Store(keyHead, segment.Position + t - segment.First, new(key, size), new(value, size));
    }

    private void Prepare(Norm[] norms, int head, float* x, int t)
    {
        if (norms.Length > 0 && HeadsAreApart) norms[head % norms.Length].Row(x);
        _rotary?.Rotate(x, t);
    }

    /// <summary>One norm for all heads, or for all as one vector; or one for each.</summary>
    private Norm[] Norms(Norm? norm, int heads) => norm is null ? []
        : _config.QueryKeyNorm != QueryKeyNorm.PerHead ? [norm]
        : [.. Enumerable.Range(0, heads).Select(h => norm.Slice(h * _config.HeadSize, _config.HeadSize))];
}
