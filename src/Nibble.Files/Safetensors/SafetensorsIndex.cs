using System.Text.Json;
using Nibble.Core;

namespace Nibble.Files.Safetensors;

/// <summary><c>model.safetensors.index.json</c>: which shard holds which tensor.</summary>
internal static unsafe class SafetensorsIndex
{
    /// <summary>The shard's file name for every tensor's name.</summary>
    public static Dictionary<string, string> Read(string path)
    {
        using var file = new MappedFile(path);
        if (file.Length > SafetensorsHeader.LongestHeader)
            throw new UnusableInputException($"{path}: is {file.Length} bytes long; an index has at most {SafetensorsHeader.LongestHeader}");
        var reader = new Utf8JsonReader(new ReadOnlySpan<byte>(file.Pointer, (int)file.Length));
        Dictionary<string, string>? map = null;
        try
        {
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject) throw Wrong(path, "must be a JSON object");
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                if (!reader.ValueTextEquals("weight_map"u8))
                {
                    reader.Read();
                    reader.Skip();
                }
                else
                {
                    if (map is not null) throw Wrong(path, "has two weight_map");
                    map = ReadMap(path, ref reader);
                }
            }
            while (reader.Read()) { }
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new UnusableInputException($"{path}: is not valid JSON near byte {reader.BytesConsumed}: {e.Message.ReplaceLineEndings(" ")}", e);
        }
        return map is { Count: > 0 } ? map : throw Wrong(path, "has no weight_map that gives every tensor's shard");
    }

    private static Dictionary<string, string> ReadMap(string path, ref Utf8JsonReader reader)
    {
        var map = new Dictionary<string, string>();
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject) throw Wrong(path, "has a weight_map that is no object");
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string tensor = reader.GetString()!;
            if (!reader.Read() || reader.TokenType != JsonTokenType.String) throw Wrong(path, $"gives no file name for tensor {Quote.Name(tensor)}");
            string shard = reader.GetString()!;
            // A shard lies beside its index: an index must not reach for other files of the machine.
            if (shard.Length is 0 or > 255 || shard is "." or ".." || shard.AsSpan().ContainsAny('/', '\\', '\0'))
                throw Wrong(path, $"puts tensor {Quote.Name(tensor)} into {Quote.Name(shard)}, which is not the name of a file beside it");
            if (!map.TryAdd(tensor, shard)) throw Wrong(path, $"lists tensor {Quote.Name(tensor)} twice");
        }
        return map;
    }

    private static UnusableInputException Wrong(string path, string what) => new($"{path}: {what}");
}
