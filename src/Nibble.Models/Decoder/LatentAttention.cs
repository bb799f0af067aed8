using Nibble.Core.Kernels;

namespace Nibble.Models.Decoder;

/// <summary>
/// Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434), computed in the latent space: a query is taken through
/// its head's key projection instead of every key, so that what is stored for a token is one latent vector and one
/// rotated part for all heads, and the sum over values is projected once.
/// </summary>
internal sealed unsafe class LatentAttention
{
    private readonly int _index;
    private readonly ModelConfig _config;
    private readonly LatentConfig _latent;
    private readonly LayerConfig _layer;
    private readonly RotaryTable _rotary;
    private readonly Linear? _query, _queryDown, _queryUp;
    private readonly Norm? _queryNorm;
    private readonly Linear _keyValueDown;
    private readonly LinearGroup _output;
    private readonly Norm _keyValueNorm;
    private readonly Linear[] _keyUp, _valueUp;

    public LatentAttention(LayerParts parts, int layer, RotaryTable rotary)
    {
        string block = $"blk.{layer}.";
        (_index, _config, _latent, _layer, _rotary) = (layer, parts.Config, parts.Config.Latent!, parts.Config.Layers[layer], rotary);
        _query = parts.LinearOrNull($"{block}attn_q");
        _queryDown = parts.LinearOrNull($"{block}attn_q_a");
        _queryNorm = parts.Norm($"{block}attn_q_a_norm");
        _queryUp = parts.LinearOrNull($"{block}attn_q_b");
        _keyValueDown = parts.Linear($"{block}attn_kv_a_mqa");
        _keyValueNorm = parts.Norm($"{block}attn_kv_a_norm")!;
        _keyUp = parts.Experts($"{block}attn_k_b");
        _valueUp = parts.Experts($"{block}attn_v_b");
        _output = new LinearGroup(parts.Linear($"{block}attn_output"));
    }

    private int QuerySize => _latent.PlainSize + _latent.RotarySize;

    /// <param name="output">[tokens, hidden], overwritten.</param>
    /// <param name="sum">What follows of it.</param>
    public void Run(Workspace work, Activation x, float* output, Residual sum)
    {
        float* queries = ProjectQueries(work, x);
        Store(work, x);
        float* absorbed = Absorb(work, queries);
        float* sums = work.Up.Of((nint)work.Tokens * _config.Heads * _latent.Rank);
        for (int s = 0; s < work.Segments.Length; s++) work.AttentionInputs.Span[s] = Input(absorbed, work.Segments[s], sums);
        Attention.Run(work.AttentionInputs, work.Pool);
        ProjectValues(work, sums);
        _output.Apply(work, work.Middle, [(nint)output], sum);
    }

    private AttentionInput Input(float* absorbed, Segment segment, float* sums) => new()
    {
        Queries = absorbed + (nint)segment.First * _config.Heads * _latent.KeySize,
        QueryStride = _config.Heads * _latent.KeySize,
        Output = sums + (nint)segment.First * _config.Heads * _latent.Rank,
        Stored = segment.Stored[_index],
        Tokens = segment.Count,
        Heads = _config.Heads,
        ValueSize = _latent.Rank,
        Position = segment.Position,
        Window = _layer.Window,
        Causal = true,
        Scale = _layer.AttentionScale,
    };

    /// <summary>[tokens, heads, plain + rotated size], through a latent query where there is one; rotated.</summary>
    private float* ProjectQueries(Workspace work, Activation x)
    {
        float* queries = work.Queries.Of((nint)work.Tokens * _config.Heads * QuerySize);
        Linear last = _query ?? _queryUp!;
        if (_queryDown is not null)
        {
            work.Tell(_queryDown, x);
            work.Middle.Resize(work.Tokens, _latent.QueryRank);
            _queryDown.Apply(x, work.Middle.Floats, work.Pool);
            _queryNorm!.Apply(work.Middle.Floats, work.Tokens, work.Middle.Floats, work.Pool);
            work.Middle.Changed();
            x = work.Middle;
        }
        work.Tell(last, x);
        last.Apply(x, queries, work.Pool);
        for (int t = 0; t < work.Tokens; t++)
            for (int h = 0; h < _config.Heads; h++)
                _rotary.Rotate(queries + ((nint)t * _config.Heads + h) * QuerySize + _latent.PlainSize, t);
        return queries;
    }

    /// <summary>Stores the normalized latent vector and the rotated part of each token.</summary>
    private void Store(Workspace work, Activation x)
    {
        float* keys = work.Keys.Of((nint)work.Tokens * _latent.KeySize);
        work.Tell(_keyValueDown, x);
        _keyValueDown.Apply(x, keys, work.Pool);
        foreach (Segment segment in work.Segments)
            for (int t = segment.First; t < segment.First + segment.Count; t++)
            {
                float* key = keys + (nint)t * _latent.KeySize;
                _keyValueNorm.Row(key);
                _rotary.Rotate(key + _latent.Rank, t);
                segment.Stored[_index].Store(0, segment.Position + t - segment.First, new(key, _latent.KeySize), default);
            }
    }

    /// <summary>[tokens, heads, rank + rotated size]: queries as they meet the stored keys.</summary>
    private float* Absorb(Workspace work, float* queries)
    {
        int heads = _config.Heads;
        float* absorbed = work.Gate.Of((nint)work.Tokens * heads * _latent.KeySize);
        float* part = work.Part.Of((nint)work.Tokens * _latent.Rank);
        for (int h = 0; h < heads; h++)
        {
            work.Gathered.Resize(work.Tokens, _latent.PlainSize);
            for (int t = 0; t < work.Tokens; t++)
                new ReadOnlySpan<float>(queries + ((nint)t * heads + h) * QuerySize, _latent.PlainSize).CopyTo(work.Gathered.Row(t));
            work.Gathered.Changed();
            work.Tell(_keyUp[h], work.Gathered);
            _keyUp[h].Apply(work.Gathered, part, work.Pool);
            for (int t = 0; t < work.Tokens; t++)
            {
                float* to = absorbed + ((nint)t * heads + h) * _latent.KeySize;
                new ReadOnlySpan<float>(part + (nint)t * _latent.Rank, _latent.Rank).CopyTo(new Span<float>(to, _latent.Rank));
                new ReadOnlySpan<float>(queries + ((nint)t * heads + h) * QuerySize + _latent.PlainSize, _latent.RotarySize)
                    .CopyTo(new Span<float>(to + _latent.Rank, _latent.RotarySize));
            }
        }
        return absorbed;
    }

    /// <summary>Takes each head's sum of latent vectors through its value projection: the middle becomes [tokens, heads, value size].</summary>
    private void ProjectValues(Workspace work, float* sums)
    {
        int heads = _config.Heads, size = _latent.ValueSize;
        work.Middle.Resize(work.Tokens, heads * size);
        float* part = work.Part.Of((nint)work.Tokens * size);
        for (int h = 0; h < heads; h++)
        {
            work.Gathered.Resize(work.Tokens, _latent.Rank);
            for (int t = 0; t < work.Tokens; t++)
                new ReadOnlySpan<float>(sums + ((nint)t * heads + h) * _latent.Rank, _latent.Rank).CopyTo(work.Gathered.Row(t));
            work.Gathered.Changed();
            work.Tell(_valueUp[h], work.Gathered);
            _valueUp[h].Apply(work.Gathered, part, work.Pool);
            for (int t = 0; t < work.Tokens; t++)
                new ReadOnlySpan<float>(part + (nint)t * size, size).CopyTo(work.Middle.Row(t).Slice(h * size, size));
        }
        work.Middle.Changed();
    }
}
