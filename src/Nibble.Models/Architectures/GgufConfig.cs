using System.Globalization;
using Nibble.Core;
using Nibble.Core.Memory;
using Nibble.Files;
using Nibble.Files.Gguf;
using static System.FormattableString;

namespace Nibble.Models.Architectures;

/// <summary>
/// The metadata of a GGUF file about one architecture. Like <see cref="JsonConfig"/> it knows which keys were asked for,
/// and refuses at the end what may change the arithmetic. Keys are named without the architecture before them.
/// </summary>
public sealed class GgufConfig
{
    /// <summary>Keys that say nothing about the forward pass, or say again what the tensors do.</summary>
    private static readonly HashSet<string> Harmless =
    [
        "vocab_size", "pooling_type", "rope.scaling.finetuned", "tensor_data_layout", "expert_shared_count", "nextn_predict_layers",
        "rope.scaling.type", "rope.scaling.factor", "rope.scaling.original_context_length", "expert_shared_feed_forward_length",
        "expert_feed_forward_length", "leading_dense_block_count",
    ];

    private readonly GgufFile _file;
    private readonly GgufMetadata _metadata;
    private readonly HashSet<string> _asked = [];

    internal GgufConfig(GgufFile file)
    {
        _file = file;
        _metadata = file.Metadata;
        Architecture = _metadata.GetString("general.architecture");
    }

    /// <summary>The value of <c>general.architecture</c>.</summary>
    public string Architecture { get; }

    public bool Has(string key)
    {
        _asked.Add(key);
        return _metadata.Contains(Full(key));
    }

    /// <summary>A positive integer.</summary>
    public int Count(string key, int? fallback = null)
    {
        if (!Has(key) && fallback is { } value) return value;
        value = _metadata.GetInt32(Full(key));
        return value > 0 ? value : throw Error(key, $"is {value}; it must be 1 or more");
    }

    /// <summary>A non-negative integer.</summary>
    public int CountOrZero(string key, int fallback)
    {
        if (!Has(key)) return fallback;
        int value = _metadata.GetInt32(Full(key));
        return value >= 0 ? value : throw Error(key, $"is {value}; it must not be negative");
    }

    /// <summary>A finite number.</summary>
    public float Number(string key, float? fallback = null)
    {
        if (!Has(key) && fallback is { } value) return value;
        value = _metadata.GetFloat(Full(key));
        return float.IsFinite(value) ? value : throw Error(key, Invariant($"is {value}; it must be finite"));
    }

    /// <summary>A number above zero.</summary>
    public float Positive(string key, float? fallback = null)
    {
        float value = Number(key, fallback);
        return value > 0 ? value : throw Error(key, Invariant($"is {value}; it must be above 0"));
    }

    public bool Flag(string key, bool fallback) => Has(key) ? _metadata.GetBool(Full(key)) : fallback;

    public string Text(string key, string fallback) => Has(key) ? _metadata.GetString(Full(key)) : fallback;

    /// <summary>The number of layers, bounded by the tensors of the file.</summary>
    public int Layers()
    {
        int layers = Count("block_count");
        int tensors = _file.Tensors.Count;
        return layers <= tensors ? layers : throw Error("block_count", $"is {layers}, but the file has only {tensors} tensors in all");
    }

    /// <summary>
    /// The layers with a sliding window: <c>attention.sliding_window_pattern</c>, which is a period (all but the last of
    /// each period have it; or all but the first) or a flag for each layer.
    /// </summary>
    /// <param name="period">Where the file has no pattern; 1 is no layer, 0 is all.</param>
    public IReadOnlyList<bool> Slides(int layers, int period, bool fullFirst = false)
    {
        const string Key = "attention.sliding_window_pattern";
        if (Has(Key))
        {
            long[] pattern = _metadata.GetIntegers(Full(Key));
            if (_metadata.Find(Full(Key)) is Array)
                return pattern.Length == layers ? [.. pattern.Select(p => p != 0)] : throw Error(Key, $"has {pattern.Length} entries for {layers} layers");
            period = (int)Math.Clamp(pattern[0], 0, int.MaxValue);
        }
        return [.. Enumerable.Range(0, layers).Select(l => period == 0 || (fullFirst ? l % period != 0 : l % period < period - 1))];
    }

    public bool HasTensor(string name) => _file.Find(name) is not null;

    /// <summary>Rows of a matrix.</summary>
    /// <exception cref="UnusableInputException">There is no such tensor.</exception>
    public int RowsOf(string name)
    {
        long rows = _file.Get(name).Rows;
        return rows is > 0 and <= int.MaxValue ? (int)rows : throw new UnusableInputException($"{_file.Path}: tensor {Quote.Name(name)} has {rows} rows");
    }

    /// <summary>The numbers of a vector, or null if the file has none of this name.</summary>
    public IReadOnlyList<float>? Vector(string name, int length)
    {
        if (_file.Find(name) is not { } tensor) return null;
        if (tensor.Elements != length)
            throw new UnusableInputException($"{_file.Path}: tensor {Quote.Name(name)} has {tensor.Elements} numbers, but the metadata makes it {length}");
        Weight weight = _file.Load(tensor);
        var numbers = new float[length];
        weight.ReadRow(0, numbers);
        if (numbers.FirstOrDefault(n => !(float.IsFinite(n) && n > 0)) is var bad && bad != 0)
            throw new UnusableInputException(Invariant($"{_file.Path}: tensor {Quote.Name(name)} holds {bad}; its numbers must be above 0"));
        return numbers;
    }

    /// <summary>The tokens of the file's vocabulary, or null if it has none.</summary>
    public int? VocabularyTokens => _metadata.Find("tokenizer.ggml.tokens") is Array tokens ? tokens.Length : null;

    /// <summary>Refuses what nobody asked for, unless it is known to be harmless or switched off.</summary>
    /// <exception cref="UnusableInputException">Names the key.</exception>
    public void Complete()
    {
        string prefix = Architecture + ".";
        foreach ((string key, object value) in _metadata)
        {
            if (!key.StartsWith(prefix, StringComparison.Ordinal)) continue;
            string name = key[prefix.Length..];
            if (_asked.Contains(name) || Harmless.Contains(name) || IsOff(value)) continue;
            throw Error(name, $"is {Quote.Name(Convert.ToString(value, CultureInfo.InvariantCulture) ?? "")}, which this architecture does not know and which may change the arithmetic");
        }
    }

    public UnusableInputException Error(string key, string problem) => new($"{_file.Path}: the metadata key {Quote.Name(Full(key))} {problem}");

    private string Full(string key) => $"{Architecture}.{key}";

    private static bool IsOff(object value) => value is false or "" or 0u or 0 or 0f or 0ul or 0L or 0d or "none";
}
