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

    /// <summary>Writes the residual stream of a text before the first layer.</summary>
    /// <param name="tokens">A text by itself, starting at position 0.</param>
    /// <param name="states">[tokens, hidden], overwritten.</param>
    public void Embed(ReadOnlySpan<int> tokens, Span<float> states)
    {
        fixed (float* x = states)
        {
            _work.Begin(new Segment([], 0, tokens.Length, 0, tokens.Length), probe: null);
            Embed(tokens, x);
        }
    }

    /// <summary>Takes the residual stream of a text through one layer.</summary>
    /// <param name="layer">0 to <see cref="LayerCount"/> - 1.</param>
    /// <param name="tokens">The text, for its length and positions.</param>
    /// <param name="states">[tokens, hidden], changed in place.</param>
    /// <param name="cache">Cleared first; its contents are then those of this text and layer.</param>
    public void RunLayer(int layer, ReadOnlySpan<int> tokens, Span<float> states, KvCache cache, IProbe? probe = null)
    {
        cache.Clear();
        _work.Begin(new Segment(cache.Layers, 0, tokens.Length, 0, tokens.Length), probe);
        foreach (RotaryTable rotary in _rotaries) rotary.Prepare(_work);
        cache.Append(tokens);
        fixed (float* x = states) _layers[layer].Run(_work, x);
        probe?.Hidden(layer, states);
    }

    /// <summary>Whether there is a norm of this module: <c>blk.0.attn_norm</c>.</summary>
    public bool HasNorm(string module) => _norms.ContainsKey(module);

    /// <summary>Multiplies what a norm gives.</summary>
    /// <param name="factors">One a column.</param>
    public void ScaleNorm(string module, ReadOnlySpan<float> factors) => _norms[module].Scale(factors);

    /// <summary>Logits of the last tokens of a text that has passed all layers.</summary>
    /// <param name="states">[tokens, hidden] of these tokens.</param>
    /// <param name="logits">[tokens, vocabulary], overwritten.</param>
    public void Logits(ReadOnlySpan<float> states, Span<float> logits)
    {
        int tokens = states.Length / Config.Hidden;
        _work.Begin(new Segment([], 0, tokens, 0, tokens), probe: null);
        states.CopyTo(new Span<float>(_work.Stream.Of(states.Length), states.Length));
        Head(0, tokens, logits, null);
    }

    /// <summary>Says to a probe what the head reads, for a text that has passed all layers.</summary>
    /// <param name="states">[tokens, hidden].</param>
    public void ProbeHead(ReadOnlySpan<float> states, int tokens, IProbe probe)
    {
        if (_head is null) return;
        _work.Input.Resize(tokens, Config.Hidden);
        states.CopyTo(new Span<float>(_work.Input.Floats, tokens * Config.Hidden));
        _outputNorm?.Apply(_work.Input.Floats, tokens, _work.Input.Floats, _work.Pool);
        _work.Input.Changed();
        probe.LinearInput(_head.Name, _work.Input);
    }
}
