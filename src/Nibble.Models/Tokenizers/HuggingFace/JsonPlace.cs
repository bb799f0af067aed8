using System.Text.Json;
using Nibble.Core;

namespace Nibble.Models.Tokenizers.HuggingFace;

/// <summary>A value in a JSON file that knows where it stands, so that every complaint can say so.</summary>
internal readonly record struct JsonPlace(JsonElement Value, string File, string Path)
{
    /// <summary>Parses a file.</summary>
    /// <exception cref="UnusableInputException">It cannot be read or is not JSON.</exception>
    public static T Read<T>(string file, Func<JsonPlace, T> use)
    {
        try
        {
            return Parse(System.IO.File.ReadAllBytes(file), file, use);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UnusableInputException($"{file}: cannot be read: {e.Message}", e);
        }
    }

    /// <summary>Parses a text that a file holds.</summary>
    /// <exception cref="UnusableInputException">It is not JSON.</exception>
    public static T Parse<T>(ReadOnlyMemory<byte> json, string file, Func<JsonPlace, T> use)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(json);
            return use(new JsonPlace(document.RootElement, file, ""));
        }
        catch (JsonException e)
        {
            string where = e.LineNumber is { } line ? $" at line {line + 1}" : "";
            throw new UnusableInputException($"{file}: not valid JSON{where}; the file is damaged or truncated, fetch it again", e);
        }
        catch (InvalidOperationException e)              // a string with half a surrogate pair
        {
            throw new UnusableInputException($"{file}: holds a string that is not Unicode text", e);
        }
    }

    /// <summary>The file and the place, for messages.</summary>
    public string Where => Path.Length == 0 ? File : $"{File}: {Path}";

    /// <summary>The value of a key; null where it is missing or null.</summary>
    public JsonPlace? Find(string key) =>
        Object().TryGetProperty(key, out JsonElement value) && value.ValueKind != JsonValueKind.Null ? Below(value, $".{key}") : null;

    public JsonPlace Get(string key) => Find(key) ?? throw Wrong($"lacks '{key}'");

    public IEnumerable<JsonPlace> Items()
    {
        if (Value.ValueKind != JsonValueKind.Array) throw Wrong("must be a list");
        int i = 0;
        foreach (JsonElement item in Value.EnumerateArray()) yield return Below(item, $"[{i++}]");
    }

    public IEnumerable<(string Key, JsonPlace Value)> Entries()
    {
        foreach (JsonProperty property in Object().EnumerateObject()) yield return (property.Name, Below(property.Value, $".{property.Name}"));
    }

    public string Text => Value.ValueKind == JsonValueKind.String ? Value.GetString()! : throw Wrong("must be a string");

    public bool Flag => Value.ValueKind is JsonValueKind.True or JsonValueKind.False ? Value.GetBoolean() : throw Wrong("must be true or false");

    public int Integer => Value.ValueKind == JsonValueKind.Number && Value.TryGetInt32(out int number) ? number : throw Wrong("must be a whole number");

    public double Number => Value.ValueKind == JsonValueKind.Number && Value.TryGetDouble(out double number) ? number : throw Wrong("must be a number");

    public char Character => Text is [char c] ? c : throw Wrong("must be one character");

    public bool FlagOr(string key, bool missing) => Find(key)?.Flag ?? missing;

    public string TextOr(string key, string missing) => Find(key)?.Text ?? missing;

    /// <summary>
    /// Complains of keys outside a list, unless they say nothing: a setting that we do not know may change ids.
    /// </summary>
    public void Only(params ReadOnlySpan<string> known)
    {
        foreach (JsonProperty property in Object().EnumerateObject())
        {
            bool silent = property.Value.ValueKind is JsonValueKind.Null or JsonValueKind.False;
            if (!silent && property.Name != "type" && !known.Contains(property.Name))
                throw Below(property.Value, $".{property.Name}").Wrong("is a setting that is not supported");
        }
    }

    public UnusableInputException Wrong(string what) => new($"{Where} {what}");

    public UnusableInputException Unsupported(string kind) =>
        new($"{Where}: the {kind} '{Vocabulary.Shown(TextOr("type", "without a type"))}' is not supported");

    private JsonElement Object() => Value.ValueKind == JsonValueKind.Object ? Value : throw Wrong("must be an object");

    private JsonPlace Below(JsonElement value, string step) => new(value, File, (Path + step).TrimStart('.'));
}
