using System.Numerics;
using Nibble.Core;
using Nibble.Core.Formats;

namespace Nibble.Files.Gguf;

/// <summary>The header of one GGUF file: magic, version, metadata, and every tensor's type, shape and place.</summary>
internal sealed class GgufHeader
{
    public const uint Magic = 0x46554747; // "GGUF", little-endian
    public const uint NewestVersion = 3;
    public const string AlignmentKey = "general.alignment";
    public const uint DefaultAlignment = 32;
    public const int MostDimensions = 4;

    // The least that an entry takes: a key of one byte and a value of one; a name of no byte and no dimensions.
    private const int LeastEntryBytes = 8 + 1 + 4 + 1, LeastTensorBytes = 8 + 4 + 4 + 8;

    private readonly HashSet<string> _names = [];
    private readonly List<TensorInfo> _tensors = [];
    private readonly List<Placed> _places = [];

    private GgufHeader(MappedFile file)
    {
        File = file;
        Metadata = new GgufMetadata(file.Path);
    }

    public MappedFile File { get; }
    public uint Version { get; private set; }
    public uint Alignment { get; private set; }
    public GgufMetadata Metadata { get; }
    public IReadOnlyList<Placed> Places => _places;

    /// <summary>Bytes behind the last tensor and its padding, which nobody reads.</summary>
    public long BytesBehind { get; private set; }

    /// <summary>Reads and checks the header; disposes the file if it cannot be used.</summary>
    public static GgufHeader Read(MappedFile file)
    {
        try
        {
            var header = new GgufHeader(file);
            header.Parse();
            return header;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    private void Parse()
    {
        var reader = new GgufReader(File);
        if (reader.UInt32() != Magic) throw reader.Wrong("the magic is not 'GGUF'; this is no GGUF file");
        Version = reader.UInt32();
        CheckVersion(ref reader);
        ulong tensors = reader.UInt64(), entries = reader.UInt64();
        if (entries > (ulong)(reader.Remaining / LeastEntryBytes))
            throw reader.Wrong($"claims {entries} metadata entries, for which the file is too short");
        if (tensors > (ulong)(reader.Remaining / LeastTensorBytes))
            throw reader.Wrong($"claims {tensors} tensors, for which the file is too short");
        for (ulong i = 0; i < entries; i++) ReadEntry(ref reader);
        Alignment = ReadAlignment(ref reader);
        var offsets = new List<ulong>();
        for (ulong i = 0; i < tensors; i++) offsets.Add(ReadTensor(ref reader));
        PlaceTensors(ref reader, offsets);
    }

    private void CheckVersion(ref GgufReader reader)
    {
        if (Version is 2 or NewestVersion) return;
        throw reader.Wrong((Version & 0xFFFF) == 0 && Version != 0
            ? "the file is big-endian; only little-endian GGUF can be read"
            : $"the version is {Version}; 2 and {NewestVersion} can be read, so convert the model again with a current tool");
    }

    private void ReadEntry(ref GgufReader reader)
    {
        reader.Enter("the metadata behind key", Metadata.Count == 0 ? null : Metadata.Keys[^1]);
        string key = reader.String();
        if (key.Length == 0) throw reader.Wrong("a key is empty");
        reader.Enter("the metadata key", key);
        if (Metadata.Contains(key)) throw reader.Wrong("appears twice");
        Metadata.Set(key, reader.Value(reader.UInt32()));
    }

    private uint ReadAlignment(ref GgufReader reader)
    {
        object? value = Metadata.Find(AlignmentKey);
        if (value is null) return DefaultAlignment;
        reader.Enter("the metadata key", AlignmentKey);
        return value is uint alignment && BitOperations.IsPow2(alignment)
            ? alignment : throw reader.Wrong("must be a power of two of type UInt32");
    }

    private ulong ReadTensor(ref GgufReader reader)
    {
        reader.Enter("the tensor list behind", _tensors.Count == 0 ? null : _tensors[^1].Name);
        string name = reader.String();
        reader.Enter("the tensor", name);
        if (!_names.Add(name)) throw reader.Wrong("appears twice");
        uint dimensions = reader.UInt32();
        if (dimensions > MostDimensions) throw reader.Wrong($"claims {dimensions} dimensions; GGUF allows {MostDimensions}");
        var shape = new long[dimensions];
        for (int d = shape.Length - 1; d >= 0; d--)
        {
            ulong n = reader.UInt64();
            shape[d] = n <= long.MaxValue ? (long)n : throw reader.Wrong($"claims a dimension of {n}");
        }
        uint number = reader.UInt32();
        GgmlType type = GgmlType.Of(number)
            ?? throw reader.Wrong($"is of the unknown type {number}; 'nibble formats' lists the types that can be read");
        long bytes = BytesOf(ref reader, type, shape);
        _tensors.Add(new TensorInfo(name, type.Name, Format.OfGgufType(number), shape, bytes));
        return reader.UInt64();
    }

    private static long BytesOf(ref GgufReader reader, GgmlType type, long[] shape)
    {
        long? elements = TensorInfo.Product(shape);
        if (elements is not { } count || count / type.BlockSize > long.MaxValue / type.BlockBytes)
            throw reader.Wrong($"claims the shape [{string.Join(", ", shape)}], which passes 2^63 bytes");
        long columns = shape.Length == 0 ? 1 : shape[^1];
        if (columns % type.BlockSize != 0)
            throw reader.Wrong($"has rows of {columns}, which the blocks of {type.BlockSize} of type {type.Name} do not divide");
        return count / type.BlockSize * type.BlockBytes;
    }

    private void PlaceTensors(ref GgufReader reader, List<ulong> offsets)
    {
        long start = Align(reader.Position);
        long at = start, end = reader.Position;
        for (int i = 0; i < offsets.Count; i++)
        {
            TensorInfo tensor = _tensors[i];
            reader.Enter("the tensor", tensor.Name);
            if (offsets[i] != (ulong)(at - start))
                throw reader.Wrong($"claims to begin at byte {offsets[i]} of the data, but must at {at - start}: tensors follow each other, aligned to {Alignment}");
            if (tensor.Bytes > File.Length - at)
                throw reader.Wrong($"needs the bytes {at} to {(Int128)at + tensor.Bytes}, but the file ends at {File.Length}; it is cut short");
            _places.Add(new Placed(tensor, File, at));
            end = at + tensor.Bytes;
            at = Align(end);
        }
        BytesBehind = Math.Max(0, File.Length - Math.Max(at, end));
    }

    private long Align(long position) => (position + Alignment - 1) / Alignment * Alignment;
}
