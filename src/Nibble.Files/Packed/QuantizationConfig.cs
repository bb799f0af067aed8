using System.Text.Json;
using Nibble.Core;

namespace Nibble.Files.Packed;

/// <summary>What config.json says of packed weights: its <c>quantization_config</c>, or the older files and keys for it.</summary>
internal sealed class QuantizationConfig
{
    public const string Key = "quantization_config";
    private const string OlderKey = "compression_config", TextKey = "text_config";
    private const long LargestFile = 16 << 20;

    /// <summary>A file of its own, as AutoGPTQ wrote it at first.</summary>
    private const string OlderFile = "quantize_config.json";

    private readonly string _file;
    private readonly string _prefix;
    private readonly JsonElement _root;

    private QuantizationConfig(string file, string prefix, JsonElement root) => (_file, _prefix, _root) = (file, prefix, root);

    /// <summary>The method: gptq, awq, ...</summary>
    public string Method => Text("quant_method") ?? (Path.GetFileName(_file) == OlderFile ? "gptq" : throw Error("quant_method", "is missing"));

    /// <summary>
    /// What a folder's config.json says, or null where it says nothing. What else is wrong with that file, its reader says.
    /// </summary>
    public static QuantizationConfig? Read(string folder)
    {
        string file = Path.Combine(folder, "config.json"), older = Path.Combine(folder, OlderFile);
        if (Parse(file) is not { } root) return null;
        foreach (string key in (ReadOnlySpan<string>)[Key, OlderKey])
            if (Object(root, key) is { } found) return new QuantizationConfig(file, $"{key}.", found);
        if (Object(root, TextKey) is { } text && Object(text, Key) is { } nested) return new QuantizationConfig(file, $"{TextKey}.{Key}.", nested);
        return Parse(older) is { } separate ? new QuantizationConfig(older, "", separate) : null;
    }

    public string? Text(string key) => Find(key) switch
    {
        null => null,
        { ValueKind: JsonValueKind.String } value => value.GetString(),
        { } value => throw Error(key, $"is {Shown(value)}; it must be text"),
    };

    /// <summary>A whole number, or null.</summary>
    public int? Number(string key) => Find(key) switch
    {
        null => null,
        { ValueKind: JsonValueKind.Number } value when value.TryGetInt32(out int number) => number,
        { } value => throw Error(key, $"is {Shown(value)}; it must be a whole number"),
    };

    /// <summary>Whole numbers, or null.</summary>
    public int[]? Numbers(string key)
    {
        if (Find(key) is not { } value) return null;
        if (value.ValueKind != JsonValueKind.Array || value.EnumerateArray().Any(n => n.ValueKind != JsonValueKind.Number || !n.TryGetInt32(out _)))
            throw Error(key, $"is {Shown(value)}; it must be whole numbers");
        return [.. value.EnumerateArray().Select(n => n.GetInt32())];
    }

    /// <summary>True if the key holds more than null, false or an empty object or array.</summary>
    public bool Says(string key) => Find(key) is { } value && value.ValueKind switch
    {
        JsonValueKind.False => false,
        JsonValueKind.Object => value.EnumerateObject().Any(),
        JsonValueKind.Array => value.GetArrayLength() > 0,
        _ => true,
    };

    /// <summary>The objects in an object, under their names; none where the key is not there.</summary>
    public IEnumerable<QuantizationConfig> Sections(string key)
    {
        if (Find(key) is not { } value) return [];
        if (value.ValueKind != JsonValueKind.Object) throw Error(key, $"is {Shown(value)}; it must be an object");
        return value.EnumerateObject().Where(p => p.Value.ValueKind == JsonValueKind.Object)
            .Select(p => new QuantizationConfig(_file, $"{_prefix}{key}.{p.Name}.", p.Value));
    }

    /// <summary>An object in this one, or null.</summary>
    public QuantizationConfig? Section(string key) =>
        Object(_root, key) is { } found ? new QuantizationConfig(_file, $"{_prefix}{key}.", found) : null;

    public UnusableInputException Error(string key, string problem) => new($"{_file}: key {Quote.Name(_prefix + key)} {problem}");

    private JsonElement? Find(string key) => _root.TryGetProperty(key, out JsonElement value) && value.ValueKind != JsonValueKind.Null ? value : null;

    private static JsonElement? Object(JsonElement root, string key) =>
        root.TryGetProperty(key, out JsonElement value) && value.ValueKind == JsonValueKind.Object ? value : null;

    private static string Shown(JsonElement value) => Quote.Name(value.GetRawText());

    private static JsonElement? Parse(string file)
    {
        if (new FileInfo(file) is not { Exists: true, Length: > 0 and <= LargestFile }) return null;
        try
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(file));
            return document.RootElement.ValueKind == JsonValueKind.Object ? document.RootElement.Clone() : null;
        }
        catch (Exception e) when (e is JsonException or IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
