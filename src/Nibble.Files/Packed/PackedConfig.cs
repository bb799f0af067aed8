using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using Nibble.Core;
using Nibble.Core.Formats;

namespace Nibble.Files.Packed;

/// <summary>
/// The part of a config.json that says which tensors are stored in which format:
/// <code>
/// "quantization_config": {
///   "quant_method": "nibble", "version": 1,
///   "tensors": { "X.weight": { "format": "Linear4", "shape": [512, 512] } } }
/// </code>
/// </summary>
internal static class PackedConfig
{
    public const string Key = "quantization_config";
    public const string Method = "nibble";
    private const string Tied = "tie_word_embeddings";
    private const int Version = 1;
    private const long LargestFile = 64 << 20;
    private const int MostDimensions = 8;

    /// <summary>True if a folder's config.json names this way of storing tensors. What is wrong with the file, others say.</summary>
    public static bool IsPacked(string folder)
    {
        if (new FileInfo(PathIn(folder)) is not { Exists: true, Length: <= LargestFile }) return false;
        try
        {
            using JsonDocument config = Parse(folder);
            return Section(config) is { } section && section.TryGetProperty("quant_method", out JsonElement method)
                && method.ValueKind == JsonValueKind.String && method.ValueEquals(Method);
        }
        catch (UnusableInputException)
        {
            return false;
        }
    }

    /// <summary>The tensors that are stored packed: name, format (without its table) and shape.</summary>
    /// <exception cref="UnusableInputException">One line names the key that cannot be used.</exception>
    public static Dictionary<string, (Format Format, long[] Shape)> Read(string folder)
    {
        using JsonDocument config = Parse(folder);
        JsonElement section = Section(config) ?? throw Wrong(folder, Key, "is missing");
        if (!section.TryGetProperty("version", out JsonElement version) || version.ValueKind != JsonValueKind.Number || !version.TryGetInt32(out int number) || number != Version)
            throw Wrong(folder, $"{Key}.version", $"must be {Version}; a newer program wrote the folder, or none");
        if (!section.TryGetProperty("tensors", out JsonElement tensors) || tensors.ValueKind != JsonValueKind.Object)
            throw Wrong(folder, $"{Key}.tensors", "must be an object");
        var packed = new Dictionary<string, (Format, long[])>();
        foreach (JsonProperty tensor in tensors.EnumerateObject())
            packed.Add(tensor.Name, (ReadFormat(folder, tensor), ReadShape(folder, tensor)));
        return packed;
    }

    private static Format ReadFormat(string folder, JsonProperty tensor)
    {
        if (tensor.Value.ValueKind != JsonValueKind.Object || !tensor.Value.TryGetProperty("format", out JsonElement name) || name.ValueKind != JsonValueKind.String)
            throw Wrong(folder, $"{Key}.tensors.{tensor.Name}.format", "must be the name of a format");
        try
        {
            return Format.Parse(name.GetString()!);
        }
        catch (UnusableInputException e)
        {
            throw new UnusableInputException(
                $"{PathIn(folder)}: key {Quote.Name($"{Key}.tensors.{tensor.Name}.format")} is {Quote.Name(name.GetString()!)}, which is no format; 'nibble formats' lists them", e);
        }
    }

    private static long[] ReadShape(string folder, JsonProperty tensor)
    {
        if (tensor.Value.TryGetProperty("shape", out JsonElement shape) && shape.ValueKind == JsonValueKind.Array
            && shape.GetArrayLength() is >= 1 and <= MostDimensions)
        {
            var dimensions = new List<long>();
            foreach (JsonElement n in shape.EnumerateArray())
                if (n.ValueKind == JsonValueKind.Number && n.TryGetInt32(out int dimension) && dimension > 0) dimensions.Add(dimension);
            if (dimensions.Count == shape.GetArrayLength() && TensorInfo.Product([.. dimensions]) is not null) return [.. dimensions];
        }
        throw Wrong(folder, $"{Key}.tensors.{tensor.Name}.shape", $"must be 1 to {MostDimensions} whole numbers from 1 to 2^31 - 1");
    }

    /// <summary>The configuration of a model, with this part for tensors added, or put in place of another.</summary>
    /// <param name="folder">Whose config.json is the original.</param>
    /// <param name="packed">Tensors that are stored packed; where there are none, there is no such part.</param>
    /// <param name="untie">Whether the head is a tensor of its own, which in the original is the embedding.</param>
    public static byte[] Write(string folder, IReadOnlyList<TensorInfo> packed, bool untie = false) => Write(folder, packed.Count == 0 ? null : json =>
    {
        json.WriteString("quant_method", Method);
        json.WriteNumber("version", Version);
        json.WriteStartObject("tensors");
        foreach (TensorInfo tensor in packed) Write(json, tensor);
        json.WriteEndObject();
    }, untie);

    /// <summary>The configuration of a model, with another part for tensors.</summary>
    /// <param name="folder">Whose config.json is the original.</param>
    /// <param name="section">Writes the properties of that part; null where there is none.</param>
    public static byte[] Write(string folder, Action<Utf8JsonWriter>? section, bool untie = false)
    {
        using JsonDocument original = Parse(folder);
        var bytes = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(bytes, new JsonWriterOptions { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            foreach (JsonProperty property in original.RootElement.EnumerateObject())
                if (property.Name != Key && !(untie && property.Name == Tied)) property.WriteTo(json);
            if (untie) json.WriteBoolean(Tied, false);
            if (section is not null)
            {
                json.WriteStartObject(Key);
                section(json);
                json.WriteEndObject();
            }
            json.WriteEndObject();
        }
        return bytes.WrittenSpan.ToArray();
    }

    private static void Write(Utf8JsonWriter json, TensorInfo tensor)
    {
        json.WriteStartObject(tensor.Name);
        json.WriteString("format", tensor.Format!.Name);
        json.WriteStartArray("shape");
        foreach (long n in tensor.Shape) json.WriteNumberValue(n);
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static string PathIn(string folder) => Path.Combine(folder, "config.json");

    private static JsonDocument Parse(string folder)
    {
        string file = PathIn(folder);
        var info = new FileInfo(file);
        if (!info.Exists) throw new UnusableInputException($"{file}: there is no such file; a model folder has one beside its weights");
        if (info.Length > LargestFile) throw new UnusableInputException($"{file}: has {info.Length} bytes; a configuration has at most a few million");
        try
        {
            var document = JsonDocument.Parse(File.ReadAllBytes(file), new JsonDocumentOptions { AllowDuplicateProperties = false });
            if (document.RootElement.ValueKind == JsonValueKind.Object) return document;
            document.Dispose();
            throw new UnusableInputException($"{file}: is not a JSON object");
        }
        catch (JsonException e)
        {
            throw BrokenJson.Of(file, e);
        }
    }

    private static JsonElement? Section(JsonDocument config) =>
        config.RootElement.TryGetProperty(Key, out JsonElement section) && section.ValueKind == JsonValueKind.Object ? section : null;

    private static UnusableInputException Wrong(string folder, string key, string problem) =>
        new($"{PathIn(folder)}: key {Quote.Name(key)} {problem}");
}
