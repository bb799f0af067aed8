using Nibble.Core;
using Nibble.Core.Kernels;
using Nibble.Models;
using Nibble.Quantization.Calibration;
using Nibble.Training.Quantizers;
using TorchSharp;
using static TorchSharp.torch;

namespace Nibble.Training.Model;

/// <summary>The tensors of a differentiable model, by llama.cpp's names, as the layers ask for them.</summary>
internal sealed class ModelParts(ModelSource source, TorchOptions options) : IDisposable
{
    private readonly Dictionary<string, TrainedMatrix> _matrices = [];
    private readonly Dictionary<string, Tensor> _vectors = [];
    private readonly Dictionary<string, InputQuantizer> _activations = [];

    public ModelConfig Config => source.Config;

    public TorchOptions Options => options;

    public IReadOnlyDictionary<string, TrainedMatrix> Matrices => _matrices;

    /// <summary>Norms and biases, with what Gemma's norms add.</summary>
    public IReadOnlyDictionary<string, Tensor> Vectors => _vectors;

    /// <summary>The learned bounds of inputs, by the module that reads them.</summary>
    public IEnumerable<KeyValuePair<string, ClippedInput>> Bounds =>
        _activations.Where(a => a.Value.Learned is not null).Select(a => KeyValuePair.Create(a.Key, a.Value.Learned!));

    /// <summary>The same as a file keeps them; null where none are learned.</summary>
    /// <param name="rounding">The name that <see cref="InputRounding"/> has for it.</param>
    public InputBounds? LearnedBounds(string? rounding)
    {
        // A head that shares the embedding's weight is called by its own name where models run.
        Dictionary<string, float> bounds = Bounds.ToDictionary(b => b.Key == "token_embd" ? "output" : b.Key, b => b.Value.Bound);
        return rounding is null || bounds.Count == 0 ? null : new InputBounds(InputRounding.Parse(rounding), bounds);
    }

    /// <summary>Everything that training changes.</summary>
    public IEnumerable<Trainable> Trainables =>
    [
        .. _matrices.Values.SelectMany(m => m.Trainables),
        .. options.Trains && !_matrices.Values.Any(m => m.CodesAreFixed) ? _vectors.Select(v => new Trainable(v.Key, v.Value, TrainableKind.Weight)) : [],
        .. Bounds.Select(b => b.Value.Factor),
    ];

    public bool Has(string module) => source.Tensors.ContainsKey($"{module}.weight");

    public TrainedMatrix Matrix(string module)
    {
        string name = $"{module}.weight";
        if (_matrices.TryGetValue(name, out TrainedMatrix? known)) return known;
        return _matrices[name] = new TrainedMatrix(source.Tensors[name], options.FormatOf(name), options.Trains);
    }

    public Tensor? Vector(string name)
    {
        if (_vectors.TryGetValue(name, out Tensor? known)) return known;
        if (!source.Tensors.TryGetValue(name, out ModelTensor? found)) return null;
        return _vectors[name] = tensor(found.LoadVector(), requires_grad: options.Trains).DetachFromDisposeScope();
    }

    /// <summary>A linear layer with its bias, and its quantized input where that is wanted.</summary>
    public TorchLinear Linear(string module) => new(Matrix(module), Vector($"{module}.bias"), Input(module));

    /// <summary>What quantizes the input of a linear layer, or null.</summary>
    public InputQuantizer? Input(string module)
    {
        if (options.Activations is not { } kind) return null;
        return _activations[module] = InputQuantizer.Of(kind, $"{module}.clip");
    }

    public TorchLinear? LinearOrNull(string module) => Has(module) ? Linear(module) : null;

    public TorchNorm? Norm(string module) =>
        Has(module) ? new TorchNorm(Config.Norm, Config.NormEpsilon, Vector($"{module}.weight")!, Vector($"{module}.bias")) : null;

    /// <summary>Refuses a model that has parts the differentiable forward pass does not know.</summary>
    /// <exception cref="UnusableInputException">One line names the part.</exception>
    public void RefuseLeftOver()
    {
        foreach (string name in source.Tensors.Keys)
            if (!_matrices.ContainsKey(name) && !_vectors.ContainsKey(name))
                throw new UnusableInputException(
                    $"{source.Path}: training has no place for tensor '{name}' of architecture '{Config.Architecture}'; it takes dense decoders with separate projections (Llama, Mistral, Qwen2, Qwen3, Gemma and their like)");
    }

    public void Dispose()
    {
        foreach (TrainedMatrix matrix in _matrices.Values) matrix.Dispose();
        foreach (Tensor vector in _vectors.Values) vector.Dispose();
        foreach (InputQuantizer activation in _activations.Values) activation.Dispose();
    }
}
