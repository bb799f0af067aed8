using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Quantization.Methods;
using Nibble.Quantization.Recipes;

namespace Nibble.Quantization.Calibration;

/// <summary>Matrices that become one tensor, and so share its format and the table it learns.</summary>
public sealed record CalibratedTensor(Format Format, IReadOnlyList<MatrixName> Matrices)
{
    /// <summary>The format with its table, once it is learned.</summary>
    internal Format? Learned { get; set; }
}

/// <summary>
/// Quantizes the linear layers of a model by a calibrated method, one layer of the network after the other: each sees the
/// inputs that the quantized layers before it produce or, in one pass, those of the original model. Layers are worked off as their tensors are asked for, so one layer
/// with its statistics is all that is held.
/// </summary>
public sealed class LayerQuantizer : IDisposable
{
    private readonly CalibratedMethod _method;
    private readonly WorkerPool _pool;
    private readonly DecoderModel _model;

    /// <summary>The texts on their way through the quantized layers; null in one pass.</summary>
    private readonly LayerWalk? _walk;
    private readonly OriginalInputs? _original;
    private readonly MomentsFile? _saved;
    private readonly HashSet<MatrixName> _linears;
    private readonly Dictionary<Linear, Weight> _stored;
    private readonly Dictionary<MatrixName, CalibratedTensor> _tensors = [];
    private readonly Dictionary<MatrixName, Weight> _made = [], _restored = [];
    private readonly List<string> _warnings = [], _unfolded = [];
    private readonly FoldedScales _folded = new();
    private int _passed, _ready = -1, _inputs;

    // Of the layer that is ready: its linear layers that are to be quantized, and what they read.
    private Linear[] _current = [];
    private MomentsProbe? _probe;

    /// <param name="source">Must outlive the quantizer.</param>
    /// <param name="tensors">What is to be quantized.</param>
    /// <param name="texts">Token ids to calibrate on; each starts at position 0.</param>
    /// <param name="method">How the bits are chosen.</param>
    /// <param name="pool">Must outlive the quantizer.</param>
    /// <param name="onePass">Whether each layer sees the original's inputs.</param>
    /// <param name="saved">The moments of these inputs, in one pass, where they were measured before; must outlive the quantizer.</param>
    public LayerQuantizer(
        ModelSource source, IEnumerable<CalibratedTensor> tensors, IReadOnlyList<int[]> texts, CalibratedMethod method, WorkerPool pool,
        bool onePass = false, MomentsFile? saved = null)
    {
        (_method, _pool, _saved) = (method, pool, saved);
        foreach (CalibratedTensor tensor in tensors)
            foreach (MatrixName matrix in tensor.Matrices) _tensors[matrix] = tensor;
        _model = new DecoderModel(source, pool);
        _stored = _model.Linears.ToDictionary(l => l, l => l.Weight);
        _linears = [.. _model.Linears.Select(l => MatrixName.OfLinear(l.Name))];
        if (!onePass) _walk = new LayerWalk(_model, texts);
        if (saved is null && (onePass || method.SeesDrift)) _original = new OriginalInputs(source, texts, pool);
    }

    public string Method => _method.Name;

    /// <summary>What a person should know: experts that no token reached, damping that had to be raised.</summary>
    public IReadOnlyList<string> Warnings => _unfolded.Count == 0 ? _warnings
        : [.. _warnings, $"{_unfolded.Count} of {_inputs} inputs have nothing before them that takes a scale, and are quantized without ({_unfolded[0]}, ...)"];

    /// <summary>
    /// The quantized matrices of a tensor, or null if it is no linear layer of a block: the embedding and the head are not
    /// calibrated. They are given away, and freed with the last reference.
    /// </summary>
    public IReadOnlyList<Weight>? Take(IReadOnlyList<MatrixName> matrices, CancellationToken cancellation)
    {
        if (!Handles(matrices)) return null;
        int layer = LayerOf(matrices);
        PassTo(layer + 1, cancellation);
        var taken = new List<Weight>();
        foreach (MatrixName matrix in matrices)
            if (_made.Remove(matrix, out Weight? made)) taken.Add(made);
        return taken.Count == matrices.Count ? taken : null;
    }

    /// <summary>Whether <see cref="Take"/> gives these.</summary>
    public bool Handles(IReadOnlyList<MatrixName> matrices) => LayerOf(matrices) >= 0 && matrices.All(m => _linears.Contains(m) && _tensors.ContainsKey(m));

    private static int LayerOf(IReadOnlyList<MatrixName> matrices) => TensorRoles.LayerOf(matrices[0].Module + ".");

    /// <summary>
    /// Gives a matrix that an earlier run made: it is not made again, and the layers after it see what it produces.
    /// To be called before any tensor of its layer is taken.
    /// </summary>
    public void Restore(MatrixName matrix, Weight made) => _restored.Add(matrix, made);

    /// <summary>
    /// The scales that are folded into a tensor's layer, where the method folds any; null if it does not, or the tensor is in
    /// no layer. The matrices of the layer may still be restored.
    /// </summary>
    public FoldedScales? FoldedInto(IReadOnlyList<MatrixName> matrices, CancellationToken cancellation)
    {
        int layer = LayerOf(matrices);
        if (!_method.Folds || layer < 0) return null;
        PassTo(layer, cancellation);
        if (layer == _passed) MakeReady(layer, cancellation);
        return _folded;
    }

    private void PassTo(int layer, CancellationToken cancellation)
    {
        while (_passed < layer) PassLayer(_passed++, cancellation);
    }

    /// <summary>Looks at what the linear layers of a layer read, and folds scales into them.</summary>
    private void MakeReady(int layer, CancellationToken cancellation)
    {
        if (_ready == layer) return;
        _ready = layer;
        _current = [.. _model.Linears.Where(l => TensorRoles.LayerOf(l.Name + ".") == layer && _tensors.ContainsKey(MatrixName.OfLinear(l.Name)))];
        _probe = new MomentsProbe(_current, layer > 0 && _walk is not null ? _original : null, _pool);
        if (_saved is not null) TakeSaved(_probe);
        else if (_method.Folds || !_current.All(l => _restored.ContainsKey(MatrixName.OfLinear(l.Name)))) Probe(layer, _probe, cancellation);
        else _original?.PassAll(layer, null, cancellation);
        if (_method.Folds) Fold(layer, _current, _probe);
    }

    private void TakeSaved(MomentsProbe probe)
    {
        foreach (Linear linear in _current.DistinctBy(l => l.InputName)) probe.Put(linear, _saved!.Read(linear));
    }

    /// <summary>Shows the probe what the layer's weights read, but for the last products of the layer, which no weight of it reads.</summary>
    private void Probe(int layer, MomentsProbe probe, CancellationToken cancellation)
    {
        // The first layer's inputs are the original's, which has to pass it as well.
        if (_original is not null && (layer == 0 || _walk is null))
        {
            _original.PassAll(layer, probe, cancellation);
            return;
        }
        using var eight = new EightBitLinears(_current, _pool);
        using var idle = new IdleEnd(_current);
        _walk!.Probe(layer, probe, text => _original?.Pass(layer, text), cancellation);
    }

    private void Fold(int layer, Linear[] linears, MomentsProbe probe)
    {
        HashSet<string> left = [.. linears.Select(l => l.InputName)];
        _inputs += left.Count;
        foreach (FoldableInput input in FoldableInput.Of(_model, layer))
        {
            bool all = input.Readers.All(linears.Contains) && (input.Before is null || linears.Contains(input.Before));
            if (!all || probe.Of(input.Readers[0]) is not { } moments) continue;
            float[] scales = input.Shared(_method.ChooseScales([.. input.Readers.Select(l => (l.Weight, Learn(_tensors[MatrixName.OfLinear(l.Name)], linears, probe)))], moments, _pool));
            input.Apply(_model, scales, _folded);
            float[] divisors = [.. scales.Select(s => 1 / s)];
            foreach (Linear reader in input.Readers.DistinctBy(l => l.InputName))
            {
                probe.Of(reader)!.Scale(divisors);
                left.Remove(reader.InputName);
            }
        }
        _unfolded.AddRange(left.Order(StringComparer.Ordinal));
    }

    private void PassLayer(int layer, CancellationToken cancellation)
    {
        MakeReady(layer, cancellation);
        QuantizeCurrent(_probe!, cancellation);
        (_probe, _current) = (null, []);
        if (layer + 1 < _model.LayerCount) _walk?.Pass(layer, cancel: cancellation);
        Forget(layer);
    }

    private void QuantizeCurrent(MomentsProbe probe, CancellationToken cancellation)
    {
        foreach (Linear linear in _current)
        {
            MatrixName name = MatrixName.OfLinear(linear.Name);
            if (_restored.Remove(name, out Weight? restored))
            {
                linear.Replace(restored);
                continue;
            }
            cancellation.ThrowIfCancellationRequested();
            CalibratedTensor tensor = _tensors[name];
            tensor.Learned ??= Learn(tensor, _current, probe);
            _made[name] = Quantize(linear, tensor.Learned, probe.Of(linear), probe.DriftOf(linear));
            linear.Replace(_made[name]);
        }
    }

    /// <summary>
    /// Lets go of all that a layer took, for no text passes it again. Statistics and weights are native memory, which the collector
    /// frees when it frees their owners, and hardly sees how much that is.
    /// </summary>
    private void Forget(int layer)
    {
        foreach ((Linear linear, Weight stored) in _stored)
            if (TensorRoles.LayerOf(linear.Name + ".") == layer) linear.Replace(stored);
        GC.Collect();
        GC.WaitForPendingFinalizers();
    }

    /// <summary>The table that the matrices of a tensor share, learned from all of them by how much their inputs matter.</summary>
    private Format Learn(CalibratedTensor tensor, Linear[] linears, MomentsProbe probe)
    {
        if (tensor.Format.SharedBytes == 0) return tensor.Format;
        Linear[] own = [.. linears.Where(l => tensor.Matrices.Contains(MatrixName.OfLinear(l.Name)))];
        float[][] seen = [.. own.Select(probe.Of).OfType<InputMoments>().Select(m => m.Importance())];
        float[] importance = seen.Length == 0 ? [] : [.. Enumerable.Range(0, seen[0].Length).Select(c => seen.Average(i => i[c]))];
        var stacked = new StackedWeights([.. own.Select(l => l.Weight)]);
        return tensor.Format.ForColumns(stacked.Columns).Learn(stacked, new LearnOptions { Importance = importance, Threads = _pool.Workers });
    }

    private Weight Quantize(Linear linear, Format format, InputMoments? moments, OutputDrift? drift)
    {
        Weight target = Weight.Allocate(linear.Name, format, linear.Weight.Rows, linear.Weight.Columns);
        if (moments is null)
        {
            _warnings.Add($"{linear.Name}: no token of the calibration text reached it; it is rounded to nearest");
            ImportanceRounding.Quantize(linear.Weight, target, _pool);
        }
        else if (_method.Quantize(linear.Weight, target, moments, drift, _pool) is { } remark) _warnings.Add(remark);
        return target;
    }

    public void Dispose()
    {
        _walk?.Dispose();
        _original?.Dispose();
        _model.Dispose();
    }

    /// <summary>Matrices of one width, one above the other.</summary>
    private sealed class StackedWeights(Weight[] weights) : IWeightSource
    {
        public int Rows => weights.Sum(w => w.Rows);

        public int Columns => weights[0].Columns;

        public void ReadRow(int row, Span<float> numbers)
        {
            int at = 0;
            for (; row >= weights[at].Rows; at++) row -= weights[at].Rows;
            weights[at].ReadRow(row, numbers);
        }
    }
}
