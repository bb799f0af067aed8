using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Files;

namespace Nibble.Models;

/// <summary>
/// A tensor as llama.cpp wants it in a GGUF file: its name, and its rows in llama.cpp's order (experts one after the
/// other, queries and keys as it rotates them, norms with what the architecture adds to them).
/// </summary>
public sealed class ExportTensor : IWeightSource
{
    private readonly Func<int, Weight>? _load;
    private readonly float[]? _vector;
    private readonly Func<int, int> _order = row => row;
    private readonly int _rowsOfExpert;
    private readonly Lock _loading = new();
    private volatile Loaded? _loaded;

    /// <summary>A tensor of a Hugging Face checkpoint.</summary>
    internal ExportTensor(ModelTensor tensor, ModelConfig config)
    {
        Name = tensor.GgufName;
        ModelName = tensor.Name;
        Source = tensor;
        Stored = tensor.Stored;
        (Columns, _rowsOfExpert) = (tensor.Columns, tensor.Rows);
        Rows = tensor.Experts * tensor.Rows;
        IsVector = tensor.IsVector;
        IsLinear = !IsVector && !IsKeptFloat(Name);
        Shape = tensor.Experts > 1 ? tensor.IsVector ? [tensor.Experts, Columns] : [tensor.Experts, tensor.Rows, Columns]
            : tensor.IsVector ? VectorShape(tensor, config) : [tensor.Rows, Columns];
        if (IsVector) _vector = [.. Enumerable.Range(0, tensor.Experts).SelectMany(e => Ordered(tensor.LoadVector(e), tensor, config))];
        else _load = tensor.Load;
        if (tensor.Entry.GgufOrder is { } order && (!IsVector || tensor.Name.EndsWith(".bias", StringComparison.Ordinal))) _order = row => order(row, config);
    }

    /// <summary>A tensor of a GGUF file, as it is.</summary>
    internal ExportTensor(TensorFile file, TensorInfo tensor, string modelName)
    {
        (Name, ModelName) = (tensor.Name, modelName);
        Stored = [tensor];
        Shape = tensor.Shape;
        IsVector = tensor.Shape.Count < 2;
        IsLinear = !IsVector && tensor.Name.EndsWith(".weight", StringComparison.Ordinal) && !Name.Contains("norm", StringComparison.Ordinal) && !IsKeptFloat(Name);
        Weight weight = file.Load(tensor);
        (Rows, Columns, _rowsOfExpert) = (weight.Rows, weight.Columns, weight.Rows);
        _load = _ => weight;
    }

    private ExportTensor(string name, float[] numbers)
    {
        (Name, Shape, Columns, Rows, IsVector, Stored) = (name, [numbers.Length], numbers.Length, 1, true, []);
        ModelName = name;
        _vector = numbers;
    }

    /// <summary>llama.cpp's name.</summary>
    public string Name { get; }

    /// <summary>The decoder's name for it.</summary>
    public string ModelName { get; }

    /// <summary>Outermost first.</summary>
    public IReadOnlyList<long> Shape { get; }

    /// <summary>All rows, those of all experts one after the other.</summary>
    public int Rows { get; }

    public int Columns { get; }

    /// <summary>A norm, a bias or the like, to be stored as F32.</summary>
    public bool IsVector { get; }

    /// <summary>
    /// The weight of a linear layer or the embedding, which may be quantized; not a router, a position or a token type.
    /// </summary>
    public bool IsLinear { get; }

    /// <summary>The tensor of the model that it is; null where it is not one, or the file is GGUF and it is taken as it stands.</summary>
    public ModelTensor? Source { get; }

    /// <summary>The row of <see cref="Source"/> that a row here is; of a vector, the number.</summary>
    public int SourceOf(int row) => _order(row);

    /// <summary>What the checkpoint stores of it; none for a tensor that llama.cpp wants and the checkpoint has not.</summary>
    public IReadOnlyList<TensorInfo> Stored { get; }

    /// <summary>Writes a row of weights; safe to call from several threads at once.</summary>
    public void ReadRow(int row, Span<float> weights)
    {
        if (_vector is not null)
        {
            _vector.AsSpan(row * Columns, Columns).CopyTo(weights);
            return;
        }
        int expert = row / _rowsOfExpert;
        Of(expert).ReadRow(_order(row % _rowsOfExpert), weights);
    }

    /// <summary>The bytes of a row of a matrix, in the format of the weight that it is read from.</summary>
    public ReadOnlySpan<byte> Row(int row) => Of(row / _rowsOfExpert).Row(_order(row % _rowsOfExpert));

    /// <summary>Which of the decoder's matrices a row belongs to (the only one, or an expert's), and which row of it it is.</summary>
    public (int Expert, int Row) Place(int row) => (row / _rowsOfExpert, _order(row % _rowsOfExpert));

    /// <summary>The matrix of an expert; only the last one is kept, for where it was not a view it is a copy.</summary>
    private Weight Of(int expert)
    {
        if (_loaded is { } loaded && loaded.Expert == expert) return loaded.Weight;
        lock (_loading)
        {
            if (_loaded?.Expert != expert) _loaded = new Loaded(expert, _load!(expert));
            return _loaded.Weight;
        }
    }

    private sealed record Loaded(int Expert, Weight Weight);

    /// <summary>
    /// The divisors of rotary frequencies, which llama.cpp wants as tensors where they are not one scale: Llama 3's, and
    /// LongRoPE's two sets.
    /// </summary>
    internal static IEnumerable<ExportTensor> RotaryDivisors(ModelConfig config)
    {
        RotaryConfig? rotary = config.Layers.FirstOrDefault(l => l.Window == 0 && l.Rotary is not null)?.Rotary ?? config.Layers.FirstOrDefault(l => l.Rotary is not null)?.Rotary;
        if (rotary?.Scaling is LongRopeScaling longRope)
            return [new("rope_factors_long.weight", [.. longRope.Long]), new("rope_factors_short.weight", [.. longRope.Short])];
        if (rotary?.Scaling is DivisorScaling divisors) return [new("rope_freqs.weight", [.. divisors.Divisors])];
        if (rotary?.Scaling is not Llama3Scaling) return [];
        float[] plain = new float[rotary.Dimensions / 2], scaled = new float[rotary.Dimensions / 2];
        (rotary with { Scaling = null }).Frequencies(0, plain);
        rotary.Frequencies(0, scaled);
        return [new("rope_freqs.weight", [.. plain.Zip(scaled, (p, s) => p / s)])];
    }

    private static IReadOnlyList<long> VectorShape(ModelTensor tensor, ModelConfig config) =>
        config.QueryKeyNorm == QueryKeyNorm.PerHead && (tensor.Name.Contains("attn_q_norm", StringComparison.Ordinal) || tensor.Name.Contains("attn_k_norm", StringComparison.Ordinal))
            ? [tensor.Columns / config.HeadSize, config.HeadSize] : [tensor.Columns];

    private static IEnumerable<float> Ordered(float[] vector, ModelTensor tensor, ModelConfig config) => tensor.Entry.GgufOrder is { } order && tensor.Name.EndsWith(".bias", StringComparison.Ordinal)
        ? Enumerable.Range(0, vector.Length).Select(i => vector[order(i, config)]) : vector;

    private static bool IsKeptFloat(string name) => name.Contains("ffn_gate_inp", StringComparison.Ordinal)
        || name.StartsWith("position_embd", StringComparison.Ordinal) || name.StartsWith("token_types", StringComparison.Ordinal);
}
