using System.Buffers.Binary;
using System.Text.Json;
using System.Text.Unicode;
using Nibble.Core;

namespace Nibble.Files.Safetensors;

/// <summary>
/// The header of a safetensors file: eight bytes of length, then a JSON object that gives every tensor's type, shape and
/// place. The places must cover the rest of the file without gap or overlap.
/// </summary>
internal sealed unsafe class SafetensorsHeader
{
    /// <summary>The specification's limit, in bytes.</summary>
    public const int LongestHeader = 100_000_000;

    private const int MostDimensions = 64;

    private readonly string _path;
    private readonly MappedFile _file;
    private readonly long _dataStart;
    private readonly List<Placed> _places = [];
    private readonly HashSet<string> _names = [];
    private readonly OrderedDictionary<string, string> _metadata = [];
    private bool _hasMetadata;

    private SafetensorsHeader(MappedFile file, long dataStart)
    {
        _path = file.Path;
        _file = file;
        _dataStart = dataStart;
    }

    public MappedFile File => _file;

    /// <summary>In the order of the data.</summary>
    public IReadOnlyList<Placed> Places => _places;

    public IReadOnlyDictionary<string, string> Metadata => _metadata;

    /// <summary>Reads and checks the header; disposes the file if it cannot be used.</summary>
    public static SafetensorsHeader Read(MappedFile file)
    {
        try
        {
            ReadOnlySpan<byte> json = Locate(file);
            var header = new SafetensorsHeader(file, 8 + json.Length);
            header.Parse(json);
            header.CheckCoverage();
            return header;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    private static ReadOnlySpan<byte> Locate(MappedFile file)
    {
        if (file.Length < 8)
            throw new UnusableInputException($"{file.Path}: is {file.Length} bytes long; a safetensors file has at least the 8 bytes of its header's length");
        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(new ReadOnlySpan<byte>(file.Pointer, 8));
        if (length > LongestHeader)
            throw new UnusableInputException($"{file.Path}: claims a header of {length} bytes; safetensors allows {LongestHeader}, so this is no safetensors file or a damaged one");
        if ((long)length > file.Length - 8)
            throw new UnusableInputException($"{file.Path}: claims a header of {length} bytes, but only {file.Length - 8} bytes follow; the file is cut short");
        var json = new ReadOnlySpan<byte>(file.Pointer + 8, (int)length);
        if (json.IsEmpty || json[0] != '{')
            throw new UnusableInputException($"{file.Path}: the header does not begin with '{{' at byte 8; this is no safetensors file");
        if (!Utf8.IsValid(json))
            throw new UnusableInputException($"{file.Path}: the header is not UTF-8 text; the file is damaged");
        return json;
    }

    private void Parse(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = 4 });
        try
        {
            reader.Read();
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                string name = reader.GetString()!;
                if (name == "__metadata__") ReadMetadata(ref reader);
                else ReadTensor(ref reader, name);
            }
            // Anything but blanks behind the closing brace is an error of the JSON reader's.
            while (reader.Read()) { }
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new UnusableInputException($"{_path}: the header is not valid JSON near byte {8 + reader.BytesConsumed}: {e.Message.ReplaceLineEndings(" ")}", e);
        }
    }

    private void ReadMetadata(ref Utf8JsonReader reader)
    {
        if (_hasMetadata) throw Wrong("__metadata__ appears twice");
        _hasMetadata = true;
        Expect(ref reader, JsonTokenType.StartObject, "__metadata__ must be an object of strings");
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string key = reader.GetString()!;
            Expect(ref reader, JsonTokenType.String, $"__metadata__ key {Quote.Name(key)} must hold a string");
            if (!_metadata.TryAdd(key, reader.GetString()!)) throw Wrong($"__metadata__ has the key {Quote.Name(key)} twice");
        }
    }

    private void ReadTensor(ref Utf8JsonReader reader, string name)
    {
        if (!_names.Add(name)) throw Wrong($"two tensors are named {Quote.Name(name)}");
        Expect(ref reader, JsonTokenType.StartObject, $"tensor {Quote.Name(name)} must be an object with dtype, shape and data_offsets");
        string? type = null;
        long[]? shape = null, offsets = null;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            bool fresh;
            if (reader.ValueTextEquals("dtype"u8))
            {
                fresh = type is null;
                Expect(ref reader, JsonTokenType.String, $"the dtype of tensor {Quote.Name(name)} must be a string");
                type = reader.GetString()!;
            }
            else if (reader.ValueTextEquals("shape"u8))
            {
                fresh = shape is null;
                shape = ReadIntegers(ref reader, name, "shape", MostDimensions);
            }
            else if (reader.ValueTextEquals("data_offsets"u8))
            {
                fresh = offsets is null;
                offsets = ReadIntegers(ref reader, name, "data_offsets", 2);
            }
            else
            {
                throw Wrong($"tensor {Quote.Name(name)} has the field {Quote.Name(reader.GetString()!)}; it may have dtype, shape and data_offsets");
            }
            if (!fresh) throw Wrong($"tensor {Quote.Name(name)} gives its dtype, shape or data_offsets twice");
        }
        if (type is null || shape is null || offsets is not { Length: 2 })
            throw Wrong($"tensor {Quote.Name(name)} lacks its dtype, shape or two data_offsets");
        Place(name, type, shape, offsets[0], offsets[1]);
    }

    private long[] ReadIntegers(ref Utf8JsonReader reader, string name, string field, int most)
    {
        Expect(ref reader, JsonTokenType.StartArray, $"the {field} of tensor {Quote.Name(name)} must be an array of integers");
        var values = new List<long>(4);
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt64(out long value) || value < 0)
                throw Wrong($"the {field} of tensor {Quote.Name(name)} must be integers from 0 to 2^63 - 1");
            if (values.Count == most) throw Wrong($"the {field} of tensor {Quote.Name(name)} has more than {most} entries");
            values.Add(value);
        }
        return [.. values];
    }

    private void Place(string name, string type, long[] shape, long begin, long end)
    {
        if (!SafetensorsType.Exists(type)) throw Wrong($"tensor {Quote.Name(name)} is of type {Quote.Name(type)}; known types are {SafetensorsType.Names}");
        long available = _file.Length - _dataStart;
        if (begin > end || end > available)
            throw Wrong($"tensor {Quote.Name(name)} claims the bytes {begin} to {end} of {available}; the file is cut short or damaged");
        if (SafetensorsType.Bytes(type, shape) != end - begin)
            throw Wrong($"tensor {Quote.Name(name)} of type {type} and shape [{string.Join(", ", shape.Take(8))}] does not fill the {end - begin} bytes it claims");
        _places.Add(new Placed(new TensorInfo(name, type, SafetensorsType.FormatOf(type), shape, end - begin), _file, _dataStart + begin));
    }

    private void CheckCoverage()
    {
        List<Placed> sorted = [.. _places.OrderBy(p => p.Offset).ThenBy(p => p.Tensor.Bytes)];
        _places.Clear();
        _places.AddRange(sorted);
        long at = _dataStart;
        foreach (Placed place in _places)
        {
            if (place.Offset != at)
                throw Wrong($"tensor {Quote.Name(place.Tensor.Name)} begins at byte {place.Offset - _dataStart} of the data, but must at {at - _dataStart}: tensors neither overlap nor leave gaps");
            at += place.Tensor.Bytes;
        }
        if (at != _file.Length)
            throw Wrong($"the tensors end at byte {at}, the file at {_file.Length}; a safetensors file holds nothing behind its tensors");
    }

    private void Expect(ref Utf8JsonReader reader, JsonTokenType type, string rule)
    {
        if (!reader.Read() || reader.TokenType != type) throw Wrong(rule);
    }

    private UnusableInputException Wrong(string what) => new($"{_path}: {what}");
}
