using Nibble.Core;
using Nibble.Models;
using TorchSharp;
using static TorchSharp.torch;

namespace Nibble.Training.Model;

/// <summary>
/// The decoder's forward pass for autograd: whole texts, no cache, every weight as its format will store it. It computes
/// what DecoderModel computes, which the tests hold it to.
/// </summary>
internal sealed class TorchDecoder : IDisposable
{
    private readonly ModelConfig _config;
    private readonly TrainedMatrix _embedding;
    private readonly TorchNorm? _embeddingNorm, _outputNorm;
    private readonly TorchLayer[] _layers;
    private readonly TorchRotary[] _rotaries;
    private readonly TorchLinear _head;

    /// <exception cref="UnusableInputException">The model has parts that training does not know.</exception>
    public TorchDecoder(ModelSource source, TorchOptions options)
    {
        _config = source.Config;
        Refuse(source);
        Parts = new ModelParts(source, options);
        _embedding = Parts.Matrix("token_embd");
        _embeddingNorm = Parts.Norm("token_embd_norm");
        _rotaries = [.. _config.Layers.Select(l => l.Rotary).OfType<RotaryConfig>().Distinct().Select(r => new TorchRotary(r))];
        _layers = [.. _config.Layers.Select((layer, l) => new TorchLayer(Parts, l, _rotaries.FirstOrDefault(r => r.Config == layer.Rotary)))];
        _outputNorm = Parts.Norm("output_norm");
        _head = Parts.Linear(_config.TiedHead ? "token_embd" : "output");
        Parts.RefuseLeftOver();
    }

    public ModelParts Parts { get; }

    /// <summary>Logits of whole texts.</summary>
    /// <param name="tokens">[batch, tokens], 64-bit.</param>
    /// <param name="hidden">Gets the residual stream behind every layer, [batch, tokens, hidden], if given.</param>
    /// <returns>[batch, tokens, vocabulary].</returns>
    public Tensor Forward(Tensor tokens, List<Tensor>? hidden = null)
    {
        Tensor embedding = _embedding.Forward();
        Tensor x = Embed(tokens, embedding);
        foreach (TorchLayer layer in _layers)
        {
            x = layer.Forward(x);
            hidden?.Add(x);
        }
        if (_outputNorm is not null) x = _outputNorm.Forward(x);
        Tensor logits = _config.TiedHead ? _head.Forward(x, embedding) : _head.Forward(x);
        if (_config.LogitScale != 1) logits = logits * _config.LogitScale;
        return _config.LogitSoftCap is var cap and not 0 ? (logits / cap).tanh() * cap : logits;
    }

    public int Layers => _layers.Length;

    /// <summary>The residual stream before a layer, without gradients.</summary>
    /// <param name="tokens">[batch, tokens], 64-bit.</param>
    /// <param name="layer">From 0; the number of layers gives the stream behind the last.</param>
    /// <returns>[batch, tokens, hidden].</returns>
    public Tensor Before(int layer, Tensor tokens)
    {
        using var off = no_grad();
        return _layers[..layer].Aggregate(Embed(tokens, _embedding.Forward()), (x, l) => l.Forward(x));
    }

    /// <summary>The residual stream behind a layer.</summary>
    /// <param name="x">That before it.</param>
    public Tensor Through(int layer, Tensor x) => _layers[layer].Forward(x);

    private Tensor Embed(Tensor tokens, Tensor embedding)
    {
        Tensor x = embedding.index_select(0, tokens.flatten()).view(tokens.shape[0], tokens.shape[1], -1);
        if (_config.EmbeddingScale != 1) x = x * _config.EmbeddingScale;
        return _embeddingNorm is null ? x : _embeddingNorm.Forward(x);
    }

    private static void Refuse(ModelSource source)
    {
        ModelConfig config = source.Config;
        string? part = !config.Causal ? "an encoder" : config.Latent is not null ? "latent attention"
            : config.Layers.Any(l => l.Experts) ? "experts" : source.Tensors.ContainsKey("blk.0.attn_qkv.weight") ? "fused projections" : null;
        if (part is not null)
            throw new UnusableInputException($"{source.Path}: training does not know {part} (architecture '{config.Architecture}'); it takes dense decoders such as Llama, Mistral, Qwen2, Qwen3 and Gemma");
    }

    public void Dispose()
    {
        Parts.Dispose();
        foreach (TorchRotary rotary in _rotaries) rotary.Dispose();
    }
}
