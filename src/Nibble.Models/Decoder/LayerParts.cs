using Nibble.Core.Kernels;

namespace Nibble.Models.Decoder;

/// <summary>Makes the parts of a decoder from the tensors of a source, and keeps count of its linear layers.</summary>
internal sealed class LayerParts(ModelSource source)
{
    private Linear? _last;

    public ModelConfig Config { get; } = source.Config;

    public List<Linear> Linears { get; } = [];

    /// <summary>By their modules.</summary>
    public Dictionary<string, Norm> Norms { get; } = [];

    public bool Has(string module) => source.Tensors.ContainsKey($"{module}.weight");

    public Linear Linear(string module)
    {
        var linear = new Linear(module, source.Tensors[$"{module}.weight"].Load(), Bias(module));
        Linears.Add(linear);
        _last?.Next = linear;
        return _last = linear;
    }

    public Linear? LinearOrNull(string module) => Has(module) ? Linear(module) : null;

    /// <summary>The linear layers of all experts.</summary>
    public Linear[] Experts(string module)
    {
        ModelTensor weights = source.Tensors[$"{module}.weight"];
        ModelTensor? biases = source.Tensors.GetValueOrDefault($"{module}.bias");
        var experts = new Linear[weights.Experts];
        for (int e = 0; e < experts.Length; e++)
            experts[e] = new Linear($"{module}[{e}]", weights.Load(e), biases?.LoadVector(e) ?? []);
        Linears.AddRange(experts);
        _last = null; // Which of them run is not known before.
        return experts;
    }

    public float[] Vector(string tensor) => source.Tensors.TryGetValue(tensor, out ModelTensor? found) ? found.LoadVector() : [];

    public Norm? Norm(string module) => Norm(module, Config.Norm);

    public Norm? Norm(string module, NormKind kind) =>
        Has(module) ? Norms[module] = new Norm(kind, Config.NormEpsilon, Vector($"{module}.weight"), Bias(module)) : null;

    private float[] Bias(string module) => Vector($"{module}.bias");
}
