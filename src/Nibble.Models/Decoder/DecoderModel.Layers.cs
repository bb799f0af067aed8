using Nibble.Core;
using Nibble.Core.Memory;

namespace Nibble.Models.Decoder;

/// <summary>
/// The forward pass a layer at a time, for methods that stream a model: many independent texts pass through one layer
/// before any reaches the next, so only one layer need be in memory.
/// </summary>
public sealed unsafe partial class DecoderModel
{
    /// <summary>The number of layers.</summary>
    public int LayerCount => _layers.Length;

    /// <summary>An empty cache for <see cref="RunLayer"/>: a layer with a sliding window keeps whole texts too, which pass it as one batch.</summary>
    /// <param name="capacity">Tokens of the longest text.</param>
    /// <exception cref="ArgumentOutOfRangeException">Less than one.</exception>
    /// <exception cref="UnusableInputException">The format of the cache does not divide a head.</exception>
    public KvCache NewLayerCache(int capacity) => new(this, capacity, _options with { BatchSize = capacity });

    /// <summary>Writes the residual stream of a text before the first layer.</summary>
    /// <param name="tokens">A text by itself, starting at position 0.</param>
    /// <param name="states">[tokens, hidden], overwritten.</param>
    /// <exception cref="ArgumentException">The states are too short, or a token is not in the vocabulary.</exception>
    public void Embed(ReadOnlySpan<int> tokens, Span<float> states)
    {
        CheckStates(states, tokens.Length);
        _turn.Take(this);
        try
        {
            fixed (float* x = states)
            {
                _work.Begin(new Segment([], 0, tokens.Length, 0, tokens.Length), probe: null);
                Embed(tokens, x);
            }
        }
        finally
        {
            GiveBack();
        }
    }

    /// <summary>Takes the residual stream of a text through one layer.</summary>
    /// <param name="layer">0 to <see cref="LayerCount"/> - 1.</param>
    /// <param name="tokens">The text, for its length and positions.</param>
    /// <param name="states">[tokens, hidden], changed in place.</param>
    /// <param name="cache">Of <see cref="NewLayerCache"/>. Cleared first; its contents are then those of this text and layer.</param>
    /// <param name="probe">Shown what the layer reads and makes.</param>
    /// <exception cref="ArgumentException">The states are too short, or the cache does not hold the whole text, or is another decoder's.</exception>
    public void RunLayer(int layer, ReadOnlySpan<int> tokens, Span<float> states, KvCache cache, IProbe? probe = null)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)layer, (uint)LayerCount, nameof(layer));
        CheckStates(states, tokens.Length);
        Take(cache);
        try
        {
            if (tokens.Length > cache.Layers[layer].Slots)
                throw new ArgumentException($"the cache keeps {cache.Layers[layer].Slots} tokens of layer {layer}, but the text has {tokens.Length}", nameof(cache));
            cache.Clear();
            _work.Begin(new Segment(cache.Layers, 0, tokens.Length, 0, tokens.Length), probe);
            foreach (RotaryTable rotary in _rotaries) rotary.Prepare(_work);
            cache.Append(tokens, tokens.Length);
            fixed (float* x = states) _layers[layer].Run(_work, x);
        }
        finally
        {
            GiveBack(cache);
        }
        probe?.Hidden(layer, states);
    }

    private void CheckStates(ReadOnlySpan<float> states, int tokens)
    {
        if (states.Length < (long)tokens * Config.Hidden)
            throw new ArgumentException($"{states.Length} floats are too few for the states of {tokens} tokens, {Config.Hidden} numbers each", nameof(states));
    }

    /// <summary>Whether there is a norm of this module: <c>blk.0.attn_norm</c>.</summary>
    public bool HasNorm(string module) => _norms.ContainsKey(module);

    /// <summary>Multiplies what a norm gives.</summary>
    /// <param name="factors">One a column.</param>
    public void ScaleNorm(string module, ReadOnlySpan<float> factors) => _norms[module].Scale(factors);

    /// <summary>Logits of the last tokens of a text that has passed all layers.</summary>
    /// <param name="states">[tokens, hidden] of these tokens.</param>
    /// <param name="logits">[tokens, vocabulary], overwritten.</param>
    /// <exception cref="ArgumentException">The logits are too short.</exception>
    /// <exception cref="InvalidOperationException">The model is an encoder, or another thread computes with it.</exception>
    public void Logits(ReadOnlySpan<float> states, Span<float> logits)
    {
        int tokens = states.Length / Config.Hidden;
        if (_head is null) throw new InvalidOperationException($"{Config.Architecture} is an encoder and has no logits");
        CheckLogits(logits, tokens);
        _turn.Take(this);
        try
        {
            _work.Begin(new Segment([], 0, tokens, 0, tokens), probe: null);
            states.CopyTo(new Span<float>(_work.Stream.Of(states.Length), states.Length));
            Head(0, tokens, logits[..(tokens * Config.Vocabulary)], null);
        }
        finally
        {
            GiveBack();
        }
    }

    /// <summary>Says to a probe what the head reads, for a text that has passed all layers.</summary>
    /// <param name="states">[tokens, hidden].</param>
    /// <exception cref="ArgumentException">The states are not of so many tokens.</exception>
    public void ProbeHead(ReadOnlySpan<float> states, int tokens, IProbe probe)
    {
        if (_head is null) return;
        CheckStates(states, tokens);
        _turn.Take(this);
        try
        {
            _work.Input.Resize(tokens, Config.Hidden);
            states[..(tokens * Config.Hidden)].CopyTo(new Span<float>(_work.Input.Floats, tokens * Config.Hidden));
            _outputNorm?.Apply(_work.Input.Floats, tokens, _work.Input.Floats, _work.Pool);
            _work.Input.Changed();
            probe.LinearInput(_head.Name, _work.Input);
        }
        finally
        {
            GiveBack();
        }
    }
}
