using System.Text.Json;
using Nibble.Core;
using Nibble.Files;
using static System.FormattableString;

namespace Nibble.Models.Architectures;

/// <summary>
/// A Hugging Face config.json, or an object in it, that knows which of its keys were asked for: what is left over at the
/// end may change the arithmetic, and is an error.
/// </summary>
public sealed class JsonConfig
{
    private const long LargestFile = 16 << 20;

    /// <summary>Keys that say nothing about the forward pass.</summary>
    private static readonly HashSet<string> Harmless =
    [
        "_name_or_path", "_attn_implementation", "architectures", "auto_map", "bos_token_id", "chunk_size_feed_forward", "cls_token_id",
        "decoder_start_token_id", "dtype", "eos_token_id", "ep_size", "finetuning_task", "forced_bos_token_id", "forced_eos_token_id",
        "gradient_checkpointing", "id2label", "initializer_cutoff_factor", "initializer_factor", "initializer_range", "label2id",
        "language", "mask_token_id", "max_length", "min_length", "model_type", "num_beams", "output_attentions", "output_hidden_states",
        "output_router_logits", "pad_token_id", "prefix", "pretraining_tp", "problem_type", "repetition_penalty", "return_dict",
        "return_dict_in_generate", "router_aux_loss_coef", "router_jitter_noise", "sep_token_id", "task_specific_params", "temperature",
        "tokenizer_class", "top_k", "top_p", "torch_dtype", "transformers_version", "unk_token_id", "unsloth_fixed", "unsloth_version",
        "use_cache",
    ];

    private readonly string _file;
    private readonly string _prefix;
    private readonly JsonElement _root;
    private readonly HashSet<string> _asked = [];
    private readonly Dictionary<string, JsonConfig> _sections = [];

    private readonly int _tensors;
    private readonly JsonElement? _defaults;

    private JsonConfig(string file, string prefix, JsonElement root, int tensors, JsonElement? defaults = null) =>
        (_file, _prefix, _root, _tensors, _defaults) = (file, prefix, root, tensors, defaults);

    /// <summary>Reads the config.json of a folder whose checkpoint has so many tensors.</summary>
    /// <exception cref="UnusableInputException">It is missing, too large or no JSON object.</exception>
    public static JsonConfig Read(string folder, int tensors)
    {
        string file = Path.Combine(folder, "config.json");
        var info = new FileInfo(file);
        if (!info.Exists) throw new UnusableInputException($"{file}: there is no such file; a model folder has one beside its weights");
        if (info.Length > LargestFile) throw new UnusableInputException($"{file}: has {info.Length} bytes; a configuration has a few thousand");
        try
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(file), new JsonDocumentOptions { AllowDuplicateProperties = false });
            if (document.RootElement.ValueKind != JsonValueKind.Object)
                throw new UnusableInputException($"{file}: is not a JSON object");
            return new JsonConfig(file, "", document.RootElement.Clone(), tensors);
        }
        catch (JsonException e)
        {
            throw BrokenJson.Of(file, e);
        }
    }

    /// <summary>True if the key is there and not null.</summary>
    public bool Has(string key) => Find(key) is not null;

    /// <summary>A positive integer.</summary>
    public int Count(string key) => Find(key) is { } value ? PositiveInteger(key, value) : throw Missing(key);

    /// <summary>A positive integer, or the fallback where there is none or null.</summary>
    public int Count(string key, int fallback) => Find(key) is { } value ? PositiveInteger(key, value) : fallback;

    /// <summary>A non-negative integer, or the fallback where there is none or null.</summary>
    public int CountOrZero(string key, int fallback) => Find(key) switch
    {
        null => fallback,
        { ValueKind: JsonValueKind.Number } value when value.TryGetInt32(out int n) && n == 0 => 0,
        { } value => PositiveInteger(key, value),
    };

    /// <summary>
    /// The number of layers, bounded by the tensors the checkpoint has, so that nothing is allocated for layers that a
    /// file merely claims.
    /// </summary>
    public int Layers(string key)
    {
        int layers = Count(key);
        return layers <= _tensors ? layers : throw Error(key, $"is {layers}, but the checkpoint has only {_tensors} tensors in all");
    }

    public double Number(string key) => Find(key) is { } value ? FiniteNumber(key, value) : throw Missing(key);

    public double Number(string key, double fallback) => Find(key) is { } value ? FiniteNumber(key, value) : fallback;

    /// <summary>A number above zero.</summary>
    public double Positive(string key, double? fallback = null)
    {
        double value = fallback is { } number ? Number(key, number) : Number(key);
        return value > 0 ? value : throw Error(key, Invariant($"is {value}; it must be above 0"));
    }

    public bool Flag(string key, bool fallback) => Find(key) switch
    {
        null => fallback,
        { ValueKind: JsonValueKind.True } => true,
        { ValueKind: JsonValueKind.False } => false,
        { } value => throw Error(key, $"is {Shown(value)}; it must be true or false"),
    };

    public string? Text(string key) => Find(key) switch
    {
        null => null,
        { ValueKind: JsonValueKind.String } value => value.GetString(),
        { } value => throw Error(key, $"is {Shown(value)}; it must be text"),
    };

    /// <summary>The elements of an array, or null.</summary>
    public IReadOnlyList<string>? Texts(string key) => Array(key)?.Select(item =>
        item.ValueKind == JsonValueKind.String ? item.GetString()! : throw Error(key, $"holds {Shown(item)}; it must hold text")).ToList();

    /// <summary>The elements of an array, or null.</summary>
    public IReadOnlyList<double>? Numbers(string key) => Array(key)?.Select(item => FiniteNumber(key, item)).ToList();

    /// <summary>A nested object, whose keys are watched as well, or null.</summary>
    public JsonConfig? Section(string key)
    {
        if (_sections.TryGetValue(key, out JsonConfig? known)) return known;
        if (Find(key) is not { } value) return null;
        if (value.ValueKind != JsonValueKind.Object) throw Error(key, $"is {Shown(value)}; it must be an object");
        return _sections[key] = new JsonConfig(_file, $"{_prefix}{key}.", value, _tensors);
    }

    /// <summary>The same object with values for keys that it lacks: what a family's makers did not write, since it is their default.</summary>
    /// <param name="defaults">A JSON object.</param>
    public JsonConfig WithDefaults(string defaults) => new(_file, _prefix, _root, _tensors, JsonElement.Parse(defaults));

    /// <summary>Refuses a value other than the one that this architecture computes; a missing key is taken for it.</summary>
    /// <param name="value">As it is written in JSON.</param>
    public void Expect(string key, string value)
    {
        if (Find(key) is { } found && found.GetRawText() != value) throw Error(key, $"is {Shown(found)}; only {value} is known");
    }

    /// <summary>Marks keys that this architecture does not use.</summary>
    public void Ignore(params ReadOnlySpan<string> keys)
    {
        foreach (string key in keys) _asked.Add(key);
    }

    /// <summary>Refuses what nobody asked for, unless it is known to be harmless or switched off.</summary>
    /// <exception cref="UnusableInputException">Names the key.</exception>
    public void Complete()
    {
        foreach (JsonProperty property in _root.EnumerateObject())
        {
            string key = property.Name;
            if (_asked.Contains(key) || Harmless.Contains(key) || IsOff(property.Value)) continue;
            if (key.Contains("dropout", StringComparison.Ordinal) || key.EndsWith("pdrop", StringComparison.Ordinal)) continue;
            throw Error(key, $"is {Shown(property.Value)}, which this architecture does not know and which may change the arithmetic");
        }
        foreach (JsonConfig section in _sections.Values) section.Complete();
    }

    public UnusableInputException Error(string key, string problem) => new($"{_file}: key {Quote.Name(_prefix + key)} {problem}");

    private static bool IsOff(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Null or JsonValueKind.False => true,
        JsonValueKind.Number => value.TryGetDouble(out double number) && number == 0,
        JsonValueKind.String => value.GetString()!.Length == 0,
        JsonValueKind.Array => value.GetArrayLength() == 0,
        JsonValueKind.Object => !value.EnumerateObject().Any(),
        _ => false,
    };

    private JsonElement? Find(string key)
    {
        _asked.Add(key);
        if (_root.TryGetProperty(key, out JsonElement value)) return value.ValueKind != JsonValueKind.Null ? value : null;
        return _defaults is { } defaults && defaults.TryGetProperty(key, out value) ? value : null;
    }

    private IEnumerable<JsonElement>? Array(string key) => Find(key) switch
    {
        null => null,
        { ValueKind: JsonValueKind.Array } value => value.EnumerateArray(),
        { } value => throw Error(key, $"is {Shown(value)}; it must be an array"),
    };

    private int PositiveInteger(string key, JsonElement value) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int n) && n > 0
            ? n : throw Error(key, $"is {Shown(value)}; it must be an integer from 1 to 2^31 - 1");

    private double FiniteNumber(string key, JsonElement value) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double n) && double.IsFinite(n) && double.IsFinite((float)n)
            ? n : throw Error(key, $"is {Shown(value)}; it must be a finite number");

    private UnusableInputException Missing(string key) => Error(key, "is missing");

    private static string Shown(JsonElement value) => Quote.Name(value.GetRawText());
}
