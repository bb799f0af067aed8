using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Quantization.Methods;
using Nibble.Quantization.Recipes;

namespace Nibble.Quantization.Calibration;

/// <summary>
/// Quantizes the linear layers of a model by a calibrated method, one layer of the network after the other: each sees the
/// inputs that the quantized layers before it produce. Layers are worked off as their tensors are asked for, so one layer
/// with its statistics is all that is held.
/// </summary>
public sealed class LayerQuantizer : IDisposable
{
    private readonly CalibratedMethod _method;
    private readonly WorkerPool _pool;
    private readonly DecoderModel _model;
    private readonly LayerWalk _walk;
    private readonly Dictionary<string, Format> _formats;
    private readonly Dictionary<string, List<Weight>> _made = [];
    private readonly Dictionary<string, IReadOnlyList<Weight>> _restored = [];
    private readonly List<string> _warnings = [];
    private int _passed;

    /// <param name="source">Must outlive the quantizer.</param>
    /// <param name="formats">The format of each matrix that is to be quantized, by the decoder's name.</param>
    /// <param name="texts">Token ids to calibrate on; each starts at position 0.</param>
    /// <param name="method">How the bits are chosen.</param>
    /// <param name="pool">Must outlive the quantizer.</param>
    public LayerQuantizer(ModelSource source, Dictionary<string, Format> formats, IReadOnlyList<int[]> texts, CalibratedMethod method, WorkerPool pool)
    {
        (_formats, _method, _pool) = (formats, method, pool);
        _model = new DecoderModel(source, pool);
        _walk = new LayerWalk(_model, texts);
    }

    public string Method => _method.Name;

    /// <summary>What a person should know: experts that no token reached, damping that had to be raised.</summary>
    public IReadOnlyList<string> Warnings => _warnings;

    /// <summary>
    /// The quantized matrices of a tensor (one, or one an expert), or null if it is no linear layer of a block: the
    /// embedding and the head are not calibrated. They are given away, and freed with the last reference.
    /// </summary>
    /// <param name="tensor">The decoder's name: <c>blk.0.attn_q.weight</c>.</param>
    public IReadOnlyList<Weight>? Take(string tensor, CancellationToken cancellation)
    {
        if (!Handles(tensor)) return null;
        int layer = TensorRoles.LayerOf(tensor);
        while (_passed <= layer) PassLayer(_passed++, cancellation);
        return _made.Remove(ModuleOf(tensor), out List<Weight>? made) ? made : null;
    }

    /// <summary>Whether <see cref="Take"/> gives this tensor.</summary>
    public bool Handles(string tensor) => TensorRoles.LayerOf(tensor) >= 0 && _formats.ContainsKey(tensor)
        && _model.Linears.Any(l => ModuleOf(l) == ModuleOf(tensor));

    /// <summary>
    /// Gives the matrices that an earlier run made of a tensor: they are not made again, and the layers after them see what
    /// they produce. To be called before any tensor of their layer is taken.
    /// </summary>
    public void Restore(string tensor, IReadOnlyList<Weight> made) => _restored.Add(ModuleOf(tensor), made);

    private void PassLayer(int layer, CancellationToken cancellation)
    {
        var probe = new MomentsProbe(_pool);
        IGrouping<string, Linear>[] modules = [.. _model.Linears.Where(l => TensorRoles.LayerOf(l.Name + ".") == layer).GroupBy(ModuleOf)];
        modules = [.. modules.Where(m => _formats.ContainsKey(m.Key + ".weight"))];
        if (!modules.All(m => _restored.ContainsKey(m.Key))) _walk.Probe(layer, probe, cancellation);
        foreach (IGrouping<string, Linear> module in modules)
        {
            if (_restored.Remove(module.Key, out IReadOnlyList<Weight>? restored))
            {
                foreach ((Linear linear, Weight weight) in module.Zip(restored)) linear.Replace(weight);
                continue;
            }
            List<Weight> made = _made[module.Key] = [];
            foreach (Linear linear in module)
            {
                cancellation.ThrowIfCancellationRequested();
                made.Add(Quantize(linear, _formats[module.Key + ".weight"], probe.Of(linear.Name)));
                linear.Replace(made[^1]);
            }
        }
        if (layer + 1 < _model.LayerCount) _walk.Pass(layer, cancel: cancellation);
    }

    private Weight Quantize(Linear linear, Format format, InputMoments? moments)
    {
        Weight target = Weight.Allocate(linear.Name, format, linear.Weight.Rows, linear.Weight.Columns);
        if (moments is null) _warnings.Add($"{linear.Name}: no token of the calibration text reached it; it is rounded to nearest");
        // Without a token all columns count alike.
        string? remark = moments is null
            ? new ImportanceRounding().Quantize(linear.Weight, target, InputMoments.Alike(linear.Weight.Columns), _pool)
            : _method.Quantize(linear.Weight, target, moments, _pool);
        if (remark is not null) _warnings.Add(remark);
        return target;
    }

    /// <summary>The layer's name without the expert's number.</summary>
    private static string ModuleOf(Linear linear) => linear.Name.Split('[')[0];

    private static string ModuleOf(string tensor) => tensor.EndsWith(".weight", StringComparison.Ordinal) ? tensor[..^".weight".Length] : tensor;

    public void Dispose()
    {
        _walk.Dispose();
        _model.Dispose();
    }
}
