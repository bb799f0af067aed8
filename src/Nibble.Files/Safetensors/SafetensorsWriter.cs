using System.Buffers;
using System.Buffers.Binary;
using System.Text.Encodings.Web;
using System.Text.Json;
using Nibble.Core;

namespace Nibble.Files.Safetensors;

/// <summary>Writes one .safetensors file.</summary>
public sealed class SafetensorsWriter : TensorWriter
{
    /// <param name="path">Where the file shall be.</param>
    /// <param name="tensors">In the order of their data; <see cref="TensorInfo.Type"/> is the dtype (F32, BF16, I32, U8, ...).</param>
    /// <param name="metadata">Written as <c>__metadata__</c>, in its order; null for none.</param>
    /// <param name="force">Whether an existing file may be replaced.</param>
    /// <param name="resume">Whether to go on where a killed run of the same model and settings stopped.</param>
    /// <exception cref="UnusableInputException">The file exists, the disk is too full, or safetensors cannot hold a tensor.</exception>
    public SafetensorsWriter(
        string path, IReadOnlyList<TensorInfo> tensors, IReadOnlyDictionary<string, string>? metadata = null, bool force = false, bool resume = false)
        : this(path, Header(path, tensors, metadata), tensors, force, resume) { }

    /// <summary>The length of the file that such a writer makes.</summary>
    public static long LengthOf(string path, IReadOnlyList<TensorInfo> tensors, IReadOnlyDictionary<string, string>? metadata = null) =>
        Length(Header(path, tensors, metadata), tensors, 1);

    private SafetensorsWriter(string path, byte[] header, IReadOnlyList<TensorInfo> tensors, bool force, bool resume)
        : base(new OutputFile(path, force, Length(header, tensors, 1), resume), header, tensors, 1) { }

    private static byte[] Header(string path, IReadOnlyList<TensorInfo> tensors, IReadOnlyDictionary<string, string>? metadata)
    {
        var bytes = new ArrayBufferWriter<byte>(1 << 16);
        bytes.GetSpan(8)[..8].Clear();
        bytes.Advance(8);
        // Names are data, not HTML: the plain characters of other writers, not \u escapes.
        var options = new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
        using (var json = new Utf8JsonWriter(bytes, options))
        {
            json.WriteStartObject();
            if (metadata is not null) WriteMetadata(json, metadata);
            WriteTensors(path, json, tensors);
            json.WriteEndObject();
        }
        // Blanks align the data to 8 bytes, as the format's own writer does.
        while (bytes.WrittenCount % 8 != 0) bytes.Write(" "u8);
        if (bytes.WrittenCount - 8 > SafetensorsHeader.LongestHeader)
            throw new UnusableInputException($"{path}: {tensors.Count} tensors need a header longer than the {SafetensorsHeader.LongestHeader} bytes that safetensors allows");
        byte[] header = bytes.WrittenSpan.ToArray();
        BinaryPrimitives.WriteInt64LittleEndian(header, header.Length - 8);
        return header;
    }

    private static void WriteMetadata(Utf8JsonWriter json, IReadOnlyDictionary<string, string> metadata)
    {
        json.WriteStartObject("__metadata__"u8);
        foreach ((string key, string value) in metadata) json.WriteString(key, value);
        json.WriteEndObject();
    }

    private static void WriteTensors(string path, Utf8JsonWriter json, IReadOnlyList<TensorInfo> tensors)
    {
        long offset = 0;
        var names = new HashSet<string> { "__metadata__" };
        foreach (TensorInfo tensor in tensors)
        {
            if (!names.Add(tensor.Name)) throw new UnusableInputException($"{path}: two tensors would be named {Quote.Name(tensor.Name)}");
            if (!SafetensorsType.Exists(tensor.Type))
                throw new UnusableInputException($"{path}: safetensors has no type {tensor.Type}, in which tensor {Quote.Name(tensor.Name)} shall be stored; it has {SafetensorsType.Names}");
            if (SafetensorsType.Bytes(tensor.Type, [.. tensor.Shape]) != tensor.Bytes)
                throw new ArgumentException($"Tensor '{tensor.Name}' of type {tensor.Type} declares {tensor.Bytes} bytes for {tensor.Elements} elements.");
            json.WriteStartObject(tensor.Name);
            json.WriteString("dtype"u8, tensor.Type);
            json.WriteStartArray("shape"u8);
            foreach (long n in tensor.Shape) json.WriteNumberValue(n);
            json.WriteEndArray();
            json.WriteStartArray("data_offsets"u8);
            json.WriteNumberValue(offset);
            json.WriteNumberValue(checked(offset += tensor.Bytes));
            json.WriteEndArray();
            json.WriteEndObject();
        }
    }
}
