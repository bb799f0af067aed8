using Nibble.Models;
using Nibble.Training.Quantizers;
using TorchSharp;
using static TorchSharp.torch;

namespace Nibble.Training.Model;

/// <summary>Causal attention with grouped queries; what differs among architectures is configuration.</summary>
internal sealed class TorchAttention
{
    private readonly ModelConfig _config;
    private readonly LayerConfig _layer;
    private readonly TorchRotary? _rotary;
    private readonly TorchLinear _query, _key, _value, _output;
    private readonly TorchNorm? _queryNorm, _keyNorm;
    private readonly CodecQuantizer? _cache;

    public TorchAttention(ModelParts parts, int layer, TorchRotary? rotary)
    {
        (_config, _layer, _rotary) = (parts.Config, parts.Config.Layers[layer], rotary);
        string block = $"blk.{layer}.";
        _query = parts.Linear($"{block}attn_q");
        _key = parts.Linear($"{block}attn_k");
        _value = parts.Linear($"{block}attn_v");
        _output = parts.Linear($"{block}attn_output");
        _queryNorm = parts.Norm($"{block}attn_q_norm");
        _keyNorm = parts.Norm($"{block}attn_k_norm");
        if (parts.Options.CacheFormat is { } format) _cache = new CodecQuantizer(format.ForColumns(_config.HeadSize));
    }

    /// <param name="x">[batch, tokens, hidden].</param>
    public Tensor Forward(Tensor x)
    {
        Tensor query = Rotate(Heads(_query.Forward(x), _config.Heads, _queryNorm));
        Tensor key = Store(Rotate(Heads(_key.Forward(x), _config.KvHeads, _keyNorm)));
        Tensor value = Store(Heads(_value.Forward(x), _config.KvHeads, null));
        int shared = _config.Heads / _config.KvHeads;
        if (shared > 1) (key, value) = (key.repeat_interleave(shared, 1), value.repeat_interleave(shared, 1));
        Tensor scores = query.matmul(key.transpose(2, 3)) * _layer.AttentionScale;
        if (_config.AttentionSoftCap is var cap and not 0) scores = (scores / cap).tanh() * cap;
        Tensor seen = (scores + Mask(x.shape[1])).softmax(-1);
        return _output.Forward(seen.matmul(value).transpose(1, 2).flatten(2, 3));
    }

    /// <summary>[batch, tokens, heads * size] to [batch, heads, tokens, size], normalized.</summary>
    private Tensor Heads(Tensor projected, int heads, TorchNorm? norm)
    {
        if (norm is not null && _config.QueryKeyNorm == QueryKeyNorm.FullWidth) projected = norm.Forward(projected);
        Tensor split = projected.unflatten(2, [heads, _config.HeadSize]);
        if (norm is not null && _config.QueryKeyNorm != QueryKeyNorm.FullWidth) split = norm.Forward(split, _config.HeadSize);
        return split.transpose(1, 2);
    }

    private Tensor Rotate(Tensor heads) => _rotary?.Forward(heads) ?? heads;

    /// <summary>Keys and values as a quantized cache would give them back.</summary>
    private Tensor Store(Tensor heads)
    {
        if (_cache is null) return heads;
        Tensor rows = heads.reshape(-1, _config.HeadSize);
        return _cache.Forward(rows).view(heads.shape);
    }

    /// <summary>[tokens, tokens]: 0 where a row's token sees a column's, else minus infinity.</summary>
    private Tensor Mask(long tokens)
    {
        Tensor all = full([tokens, tokens], float.NegativeInfinity);
        Tensor mask = all.triu(1);
        return _layer.Window > 0 && _layer.Window < tokens ? mask + all.tril(-_layer.Window) : mask;
    }
}
