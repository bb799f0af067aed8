using Nibble.Core.Kernels;

namespace Nibble.Models.Decoder;

/// <summary>
/// Attention and feed-forward with their norms and residual connections. Which norms there are decides the order: before
/// a block, after it, both, or after the addition as in BERT.
/// </summary>
internal sealed unsafe class DecoderLayer
{
    private readonly ModelConfig _config;
    private readonly SelfAttention? _attention;
    private readonly LatentAttention? _latentAttention;
    private readonly FeedForward? _feedForward;
    private readonly MixtureOfExperts? _experts;
    private readonly Norm? _attentionNorm, _attentionPostNorm, _attentionSumNorm;
    private readonly Norm? _feedForwardNorm, _feedForwardPostNorm, _feedForwardSumNorm;

    public DecoderLayer(LayerParts parts, int layer, RotaryTable? rotary)
    {
        _config = parts.Config;
        string block = $"blk.{layer}.";
        _attentionNorm = parts.Norm($"{block}attn_norm");
        _attentionPostNorm = parts.Norm($"{block}post_attention_norm");
        _attentionSumNorm = parts.Norm($"{block}attn_output_norm");
        _feedForwardNorm = parts.Norm($"{block}ffn_norm");
        _feedForwardPostNorm = parts.Norm($"{block}post_ffw_norm");
        _feedForwardSumNorm = parts.Norm($"{block}layer_output_norm");
        if (_config.Latent is null) _attention = new SelfAttention(parts, layer, rotary);
        else _latentAttention = new LatentAttention(parts, layer, rotary!);
        if (_config.Layers[layer].Experts) _experts = new MixtureOfExperts(parts, layer);
        else _feedForward = new FeedForward(parts, layer);
    }

    /// <summary>Takes the residual stream through the layer.</summary>
    /// <param name="x">[tokens, hidden], changed in place.</param>
    public void Run(Workspace work, float* x)
    {
        nint count = (nint)work.Tokens * _config.Hidden;
        float* added = work.Added.Of(count);
        Load(work, x, _attentionNorm);
        if (_config.ParallelResidual)
        {
            float* addedToo = work.AddedToo.Of(count);
            RunAttention(work, added, default);
            if (_feedForwardNorm is not null) Load(work, x, _feedForwardNorm);
            RunFeedForward(work, addedToo, default);
            Add(work, Sum(work, x, added));
            Add(work, Sum(work, x, addedToo));
            return;
        }
        RunAttention(work, added, Sum(work, x, added));
        _attentionSumNorm?.Apply(x, work.Tokens, x, work.Pool);
        Load(work, x, _feedForwardNorm);
        RunFeedForward(work, added, Sum(work, x, added));
        _feedForwardSumNorm?.Apply(x, work.Tokens, x, work.Pool);
    }

    private void RunAttention(Workspace work, float* added, Residual sum)
    {
        Residual atOnce = _attentionPostNorm is null ? sum : default;
        if (_attention is not null) _attention.Run(work, work.Input, added, atOnce);
        else _latentAttention!.Run(work, work.Input, added, atOnce);
        if (_attentionPostNorm is null) return;
        _attentionPostNorm.Apply(added, work.Tokens, added, work.Pool);
        Add(work, sum);
    }

    private void RunFeedForward(Workspace work, float* added, Residual sum)
    {
        if (_feedForward is not null && _feedForwardPostNorm is null)
        {
            _feedForward.Run(work, work.Input, added, sum);
            return;
        }
        if (_feedForward is not null) _feedForward.Run(work, work.Input, added, default);
        else _experts!.Run(work, work.Input, added);
        _feedForwardPostNorm?.Apply(added, work.Tokens, added, work.Pool);
        Add(work, sum);
    }

    private Residual Sum(Workspace work, float* x, float* added) =>
        new() { Stream = x, Added = added, AddedStride = _config.Hidden, Tokens = work.Tokens, Width = _config.Hidden, Scale = _config.ResidualScale };

    private static void Add(Workspace work, Residual sum) => LinearGroup.Run(sum, (long)sum.Tokens * sum.Width, work.Pool);

    /// <summary>The input of a block: the stream, normalized where there is a norm before the block.</summary>
    private void Load(Workspace work, float* x, Norm? norm)
    {
        work.Input.Resize(work.Tokens, _config.Hidden);
        if (norm is not null) norm.Apply(x, work.Tokens, work.Input.Floats, work.Pool);
        else Buffer.MemoryCopy(x, work.Input.Floats, (long)work.Tokens * _config.Hidden * sizeof(float), (long)work.Tokens * _config.Hidden * sizeof(float));
        work.Input.Changed();
    }
}
