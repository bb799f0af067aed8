using System.Numerics.Tensors;
using Nibble.Core.Kernels;
using Nibble.Core.Threading;
using Nibble.Models.Decoder;

namespace Nibble.Quantization.Calibration;

/// <summary>
/// Collects the moments of every linear layer's input, and its drift from the original model's where that is at hand; layers
/// that read the same input share both.
/// </summary>
/// <param name="readers">The linear layers that will ask; what no one of them reads is not looked at.</param>
/// <param name="original">The original's inputs of the same text, or null.</param>
internal sealed unsafe class MomentsProbe(IReadOnlyList<Linear> readers, OriginalInputs? original, WorkerPool pool) : IProbe
{
    private readonly ILookup<string, Linear> _readers = readers.ToLookup(l => l.InputName);
    private readonly Dictionary<string, InputMoments> _moments = [];
    private readonly Dictionary<string, InputDrift> _inputDrifts = [];
    private readonly Dictionary<string, OutputDrift> _outputDrifts = [];
    private readonly Activation _drift = new();

    // What a text's inputs and their drift become for sums over tokens: laid out once for all that is summed.
    private readonly TokenPanels _inputPanels = new(), _driftPanels = new();

    /// <summary>The moments of a linear layer's input, or null if no token reached it.</summary>
    public InputMoments? Of(Linear linear) => _moments.GetValueOrDefault(linear.InputName);

    /// <summary>Takes the moments of a linear layer's input from elsewhere; null if no token reached it.</summary>
    public void Put(Linear linear, InputMoments? moments)
    {
        if (moments is not null) _moments[linear.InputName] = moments;
    }

    /// <summary>The drift of a linear layer's output, or null where it is not known.</summary>
    public OutputDrift? DriftOf(Linear linear) =>
        _outputDrifts.GetValueOrDefault(linear.Name) ?? _inputDrifts.GetValueOrDefault(linear.InputName)?.Through(linear.Weight, pool);

    public void LinearInput(string name, Activation x)
    {
        if (!_readers.Contains(name)) return;
        if (!_moments.TryGetValue(name, out InputMoments? moments)) _moments[name] = moments = new InputMoments(x.Columns);
        _inputPanels.Load(x, pool);
        moments.Add(x, _inputPanels, pool);
        if (original?.Of(name) is { } input) AddDrift(name, input, x);
    }

    private void AddDrift(string name, ReadOnlySpan<float> original, Activation x)
    {
        IEnumerable<Linear> own = _readers[name];
        _drift.Resize(x.Tokens, x.Columns);
        var drift = new Span<float>(_drift.Floats, x.Tokens * x.Columns);
        TensorPrimitives.Subtract(original, new ReadOnlySpan<float>(x.Floats, drift.Length), drift);
        if (own.Sum(l => l.Weight.Rows) >= x.Columns)
        {
            if (!_inputDrifts.TryGetValue(name, out InputDrift? inputs)) _inputDrifts[name] = inputs = new InputDrift(x.Columns);
            _driftPanels.Load(_drift, pool);
            inputs.Add(_driftPanels, _inputPanels, pool);
            return;
        }
        foreach (Linear linear in own)
        {
            if (!_outputDrifts.TryGetValue(linear.Name, out OutputDrift? outputs)) _outputDrifts[linear.Name] = outputs = new OutputDrift(linear.Weight.Rows, x.Columns);
            outputs.Add(linear.Weight, _drift, _inputPanels, pool);
        }
    }

    public void Hidden(int layer, ReadOnlySpan<float> states) { }
}
