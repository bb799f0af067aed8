using Nibble.Core.Memory;
using Nibble.Models.Decoder;

namespace Nibble.Quantization.Calibration;

/// <summary>
/// Many texts on their way through a model, a layer at a time. Before a layer is passed, a probe may look at what its
/// linear layers read; if the layer's weights are replaced in between, the layers after it see what the new ones produce.
/// </summary>
public sealed unsafe class LayerWalk : IDisposable
{
    private readonly DecoderModel _model;
    private readonly IReadOnlyList<int[]> _texts;
    private readonly NativeBuffer _states;
    private readonly NativeBuffer _trial;
    private readonly nint[] _starts;
    private readonly KvCache _cache;

    /// <param name="model">Must outlive the walk.</param>
    /// <param name="texts">Token ids; each text starts at position 0.</param>
    public LayerWalk(DecoderModel model, IReadOnlyList<int[]> texts)
    {
        (_model, _texts) = (model, texts);
        int longest = texts.Max(t => t.Length), hidden = model.Config.Hidden;
        _starts = new nint[texts.Count];
        nint total = 0;
        for (int i = 0; i < texts.Count; i++)
        {
            _starts[i] = total;
            total += (nint)texts[i].Length * hidden;
        }
        _states = new NativeBuffer(total * sizeof(float));
        _trial = new NativeBuffer((nint)longest * hidden * sizeof(float));
        _cache = model.NewLayerCache(longest);
        Restart();
    }

    /// <summary>Tokens of all texts.</summary>
    public long Tokens => _texts.Sum(t => (long)t.Length);

    /// <summary>Shows a probe what the linear layers of a layer read, without passing it.</summary>
    /// <param name="before">Told each text's number before the probe sees it.</param>
    public void Probe(int layer, IProbe probe, Action<int>? before = null, CancellationToken cancel = default)
    {
        for (int i = 0; i < _texts.Count; i++)
        {
            cancel.ThrowIfCancellationRequested();
            before?.Invoke(i);
            var trial = new Span<float>(_trial.Pointer, States(i).Length);
            States(i).CopyTo(trial);
            _model.RunLayer(layer, _texts[i], trial, _cache, probe);
        }
    }

    /// <summary>Takes all texts through a layer; a probe may look on.</summary>
    public void Pass(int layer, IProbe? probe = null, CancellationToken cancel = default)
    {
        for (int i = 0; i < _texts.Count; i++)
        {
            cancel.ThrowIfCancellationRequested();
            PassText(layer, i, probe);
        }
    }

    /// <summary>Starts again with the embeddings of the texts.</summary>
    public void Restart()
    {
        for (int i = 0; i < _texts.Count; i++) _model.Embed(_texts[i], States(i));
    }

    /// <summary>Takes a text on through all layers from one on, and leaves it where it was.</summary>
    /// <returns>[tokens, hidden] after the last layer; overwritten by the next.</returns>
    public ReadOnlySpan<float> Finish(int layer, int text)
    {
        var trial = new Span<float>(_trial.Pointer, States(text).Length);
        States(text).CopyTo(trial);
        for (; layer < _model.LayerCount; layer++) _model.RunLayer(layer, _texts[text], trial, _cache);
        return trial;
    }

    /// <summary>Takes one text through a layer.</summary>
    public void PassText(int layer, int text, IProbe? probe) => _model.RunLayer(layer, _texts[text], States(text), _cache, probe);

    /// <summary>Shows a probe what the head reads, once all layers are passed.</summary>
    public void ProbeHead(IProbe probe)
    {
        for (int i = 0; i < _texts.Count; i++) _model.ProbeHead(States(i), _texts[i].Length, probe);
    }

    private Span<float> States(int text) => new((float*)_states.Pointer + _starts[text], _texts[text].Length * _model.Config.Hidden);

    public void Dispose()
    {
        _states.Dispose();
        _trial.Dispose();
        _cache.Dispose();
    }
}
