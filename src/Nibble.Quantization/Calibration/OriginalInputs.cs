using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Quantization.Recipes;

namespace Nibble.Quantization.Calibration;

/// <summary>
/// The original model on its way through the calibration texts beside the one that is being quantized: what its linear layers
/// read, one text and one layer at a time. Where its weights are bfloat16, inputs are rounded to it as well.
/// </summary>
internal sealed unsafe class OriginalInputs : IProbe, IDisposable
{
    private readonly DecoderModel _model;
    private readonly LayerWalk _walk;
    private readonly HashSet<string> _names;
    private readonly Dictionary<string, float[]> _inputs = [];
    private IdleEnd? _idle;
    private int _layer = -1;

    /// <param name="source">Must outlive this.</param>
    /// <param name="texts">Token ids; each starts at position 0.</param>
    /// <param name="pool">Must outlive this.</param>
    public OriginalInputs(ModelSource source, IReadOnlyList<int[]> texts, WorkerPool pool)
    {
        _model = new DecoderModel(source, pool);
        _model.RoundInputs(linear => linear.Weight.Format == FloatFormat.BF16 ? InputRounding.BFloat16 : null);
        _names = [.. _model.Linears.Select(l => l.InputName)];
        _walk = new LayerWalk(_model, texts);
    }

    public int LayerCount => _model.LayerCount;

    public IEnumerable<Linear> LinearsOf(int layer) => _model.Linears.Where(l => TensorRoles.LayerOf(l.Name + ".") == layer);

    /// <summary>Takes a text through a layer, whose inputs then stand ready.</summary>
    public void Pass(int layer, int text)
    {
        Begin(layer);
        _walk.PassText(layer, text, this);
    }

    /// <summary>Takes all texts through a layer; a probe may look on.</summary>
    public void PassAll(int layer, IProbe? probe, CancellationToken cancel)
    {
        Begin(layer);
        _walk.Pass(layer, probe, cancel);
    }

    private void Begin(int layer)
    {
        if (layer == _layer) return;
        _layer = layer;
        _inputs.Clear();
        // Nobody reads what the last layer makes.
        if (layer + 1 == _model.LayerCount) _idle ??= new IdleEnd(LinearsOf(layer));
    }

    /// <summary>
    /// What the linear layer read in the present text, or null for an expert: the router may have sent it other tokens than
    /// in the quantized model, and rows that do not belong together tell nothing.
    /// </summary>
    public float[]? Of(string linear) => _inputs.GetValueOrDefault(linear);

    public void LinearInput(string name, Activation x)
    {
        if (!_names.Contains(name) || MatrixName.IsExpert(name)) return;
        int length = x.Tokens * x.Columns;
        if (!_inputs.TryGetValue(name, out float[]? input) || input.Length != length) _inputs[name] = input = new float[length];
        new ReadOnlySpan<float>(x.Floats, length).CopyTo(input);
    }

    public void Hidden(int layer, ReadOnlySpan<float> states) { }

    public void Dispose()
    {
        _idle?.Dispose();
        _walk.Dispose();
        _model.Dispose();
    }
}
