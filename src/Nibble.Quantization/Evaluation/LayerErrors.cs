using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Quantization.Recipes;

namespace Nibble.Quantization.Evaluation;

/// <summary>The state of the residual stream after a layer.</summary>
/// <param name="Layer">-1 for the embedding.</param>
/// <param name="Relative">Of the whole model against the whole reference: what has accumulated so far.</param>
/// <param name="Cosine">Mean over tokens, between the states of the two.</param>
/// <param name="Own">Relative error of this layer alone: both are given the reference's state before it.</param>
public sealed record LayerError(int Layer, double Relative, double Cosine, double Own);

/// <summary>What one tensor does to what the model computes.</summary>
/// <param name="Name">The decoder's name: <c>blk.0.attn_q</c>.</param>
/// <param name="Output">Relative error of its own output, on the inputs that it has in the reference.</param>
/// <param name="Blame">Its share in the error, 0 to 1; see <see cref="LayerErrors"/>.</param>
public sealed record TensorOutputError(string Name, double Output, double Blame);

/// <summary>
/// Runs a text through a model and the one it was made from, a layer at a time, and measures how the error of the weights
/// becomes an error of the hidden states. Both run with float32 inputs, so that only the weights differ.
/// </summary>
/// <remarks>
/// Blame: of the reference's layer, one tensor at a time is replaced by the model's, and the error power in the residual
/// stream after the layer is taken relative to the power of the stream; for the embedding the stream before the first layer is
/// looked at, for the head the logits. A tensor's share is its part in the sum over all. This is first order: that later layers
/// amplify or damp an error, and that errors of two tensors may cancel, is left out. It costs a layer pass for each tensor of the
/// layer, whatever the depth of the model, and is done on the first text only.
/// </remarks>
public sealed class LayerErrors : IDisposable
{
    private readonly DecoderModel _reference, _model;
    private readonly Dictionary<string, TensorPair> _pairs;
    private readonly IReadOnlyList<int[]> _texts;
    private readonly float[][] _expected, _actual;
    private readonly KvCache _referenceCache, _modelCache;
    private readonly Dictionary<string, double> _blame = [];
    private readonly LinearErrors _outputs;
    private readonly List<LayerError> _layers = [];

    /// <param name="reference">Must outlive the measurement.</param>
    /// <param name="model">Must outlive the measurement.</param>
    /// <param name="pairs">Their tensors.</param>
    /// <param name="texts">Token ids; each starts at position 0. Their hidden states are all held.</param>
    public LayerErrors(ModelSource reference, ModelSource model, IReadOnlyList<TensorPair> pairs, IReadOnlyList<int[]> texts, WorkerPool pool)
    {
        var options = new DecoderOptions { InputRounding = InputRounding.None };
        (_reference, _model) = (new DecoderModel(reference, pool, options), new DecoderModel(model, pool, options));
        _pairs = pairs.ToDictionary(p => p.Name);
        _texts = texts;
        int longest = texts.Max(t => t.Length), hidden = reference.Config.Hidden;
        (_referenceCache, _modelCache) = (_reference.NewLayerCache(longest), _model.NewLayerCache(longest));
        _expected = [.. texts.Select(t => new float[t.Length * hidden])];
        _actual = [.. texts.Select(t => new float[t.Length * hidden])];
        _outputs = new LinearErrors(_pairs, pool);
    }

    /// <summary>One a layer, the embedding first.</summary>
    public IReadOnlyList<LayerError> Layers => _layers;

    /// <summary>One a tensor, in the order of the model.</summary>
    public IReadOnlyList<TensorOutputError> Tensors
    {
        get
        {
            double all = _blame.Values.Sum();
            return [.. _pairs.Keys.Where(_blame.ContainsKey).Select(name => new TensorOutputError(name, _outputs.Of(name), all == 0 ? 0 : _blame[name] / all))];
        }
    }

    private int Hidden => _reference.Config.Hidden;

    /// <param name="progress">Told the number of layers that are done.</param>
    /// <param name="cancellation">Looked at between passes.</param>
    public void Run(Action<int>? progress = null, CancellationToken cancellation = default)
    {
        Embed();
        for (int layer = 0; layer < _reference.LayerCount; layer++)
        {
            Replace(layer, cancellation);
            Pass(layer, cancellation);
            progress?.Invoke(layer + 1);
        }
        PassHead();
    }

    private void Embed()
    {
        var error = new StateError();
        for (int t = 0; t < _texts.Count; t++)
        {
            _reference.Embed(_texts[t], _expected[t]);
            _model.Embed(_texts[t], _actual[t]);
            error.Add(_expected[t], _actual[t], Hidden);
        }
        _layers.Add(new LayerError(-1, error.Relative, error.Cosine, error.Relative));
        _outputs.Set("token_embd", error.Relative);
        _blame["token_embd"] = error.RelativeSquare;
    }

    /// <summary>Takes all texts through a layer of both.</summary>
    private void Pass(int layer, CancellationToken cancellation)
    {
        StateError growth = new(), own = new();
        for (int t = 0; t < _texts.Count; t++)
        {
            cancellation.ThrowIfCancellationRequested();
            float[] alone = [.. _expected[t]];
            _model.RunLayer(layer, _texts[t], alone, _modelCache);
            _reference.RunLayer(layer, _texts[t], _expected[t], _referenceCache, _outputs);
            _model.RunLayer(layer, _texts[t], _actual[t], _modelCache);
            own.Add(_expected[t], alone, Hidden);
            growth.Add(_expected[t], _actual[t], Hidden);
        }
        _layers.Add(new LayerError(layer, growth.Relative, growth.Cosine, own.Relative));
    }

    /// <summary>Puts the model's tensors into the reference's layer, one at a time, and sees what the first text becomes.</summary>
    private void Replace(int layer, CancellationToken cancellation)
    {
        float[] expected = [.. _expected[0]];
        _reference.RunLayer(layer, _texts[0], expected, _referenceCache);
        foreach (IGrouping<string, Linear> tensor in _reference.Linears.Where(l => TensorRoles.LayerOf(l.Name + ".") == layer).GroupBy(LinearErrors.ModuleOf))
        {
            cancellation.ThrowIfCancellationRequested();
            if (!_pairs.TryGetValue(tensor.Key, out TensorPair? pair)) continue;
            Weight[] originals = [.. tensor.Select(l => l.Weight)];
            foreach ((Linear linear, int expert) in tensor.Select((l, e) => (l, e))) linear.Replace(pair.ModelAsReference(expert));
            float[] actual = [.. _expected[0]];
            _reference.RunLayer(layer, _texts[0], actual, _referenceCache);
            foreach ((Linear linear, Weight original) in tensor.Zip(originals)) linear.Replace(original);
            var error = new StateError();
            error.Add(expected, actual, Hidden);
            _blame[tensor.Key] = error.RelativeSquare;
        }
    }

    private void PassHead()
    {
        for (int t = 0; t < _texts.Count; t++) _reference.ProbeHead(_expected[t], _texts[t].Length, _outputs);
        if (_pairs.ContainsKey("output")) _blame["output"] = Math.Pow(_outputs.Of("output"), 2);
        else if (_reference.Config.TiedHead) _blame["token_embd"] += Math.Pow(_outputs.Of("output"), 2);
    }

    public void Dispose()
    {
        _outputs.Dispose();
        _referenceCache.Dispose();
        _modelCache.Dispose();
        _reference.Dispose();
        _model.Dispose();
    }
}
