using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Files.Safetensors;

namespace Nibble.Files.Packed;

/// <summary>
/// A folder of safetensors some of whose matrices are in formats that safetensors has no type for: bytes, U8
/// [rows, bytes a row], beside them the table that the tensor shares, if any, as NAME.table, and their formats and shapes
/// in config.json (docs/format.md). Seen from outside, each is a tensor in its format.
/// </summary>
public sealed unsafe class PackedFolder : MappedTensors
{
    private const string TableSuffix = ".table", Bytes = "U8";

    /// <param name="path">The folder.</param>
    /// <exception cref="UnusableInputException">A file in it is missing or damaged, or does not hold what config.json says.</exception>
    public PackedFolder(string path) : this(path, SafetensorsFolder.OpenShards(path)) { }

    private PackedFolder(string path, List<SafetensorsHeader> shards)
        : base(path, [.. shards.Select(s => s.File)], Unpack(path, shards)) { }

    /// <summary>The safetensors that hold a tensor: its table before its bytes if it shares one, or itself if its type is safetensors' own.</summary>
    internal static IEnumerable<TensorInfo> Stored(TensorInfo tensor)
    {
        if (!IsPacked(tensor)) return [tensor];
        Format format = tensor.Format!;
        TensorInfo data = new(tensor.Name, Bytes, null, [tensor.Rows, format.RowBytes(tensor.Columns)], tensor.Bytes);
        return format.SharedBytes == 0 ? [data]
            : [new TensorInfo(tensor.Name + TableSuffix, Bytes, null, [format.SharedBytes], format.SharedBytes), data];
    }

    /// <summary>True for a tensor whose format is none of safetensors' types.</summary>
    internal static bool IsPacked(TensorInfo tensor) => tensor.Format is { } format && SafetensorsType.FormatOf(tensor.Type) != format;

    private static List<Placed> Unpack(string path, List<SafetensorsHeader> shards)
    {
        try
        {
            Dictionary<string, (Format Format, long[] Shape)> packed = PackedConfig.Read(path);
            Dictionary<string, Placed> stored = shards.SelectMany(s => s.Places).ToDictionary(p => p.Tensor.Name);
            foreach (string name in packed.Keys)
                if (!stored.ContainsKey(name)) throw new UnusableInputException($"{path}: has no tensor {Quote.Name(name)}, which config.json says is packed in it");
            HashSet<string> tables = [.. packed.Where(p => p.Value.Format.SharedBytes > 0).Select(p => p.Key + TableSuffix)];
            return [.. stored.Values.Where(p => !tables.Contains(p.Tensor.Name)).Select(place =>
                packed.TryGetValue(place.Tensor.Name, out var entry)
                    ? place with { Tensor = Unpack(path, place.Tensor, entry.Format, entry.Shape, stored) } : place)];
        }
        catch
        {
            foreach (SafetensorsHeader shard in shards) shard.File.Dispose();
            throw;
        }
    }

    /// <summary>What a packed tensor is: its format bound to its rows, with its table.</summary>
    private static TensorInfo Unpack(string path, TensorInfo stored, Format format, long[] shape, Dictionary<string, Placed> all)
    {
        TensorInfo tensor = Of(path, stored.Name, format, shape);
        if (format.SharedBytes > 0) tensor = tensor with { Format = tensor.Format!.WithShared(Table(path, stored.Name, format, all)) };
        if (stored.Type != Bytes || stored.Bytes != tensor.Bytes)
            throw new UnusableInputException(
                $"{path}: tensor {Quote.Name(stored.Name)} holds {stored.Bytes} bytes of type {stored.Type}, but {format} of its shape in config.json takes {tensor.Bytes} bytes of type {Bytes}");
        return tensor;
    }

    private static TensorInfo Of(string path, string name, Format format, long[] shape)
    {
        try
        {
            return TensorInfo.Of(name, format.ForColumns((int)shape[^1]), shape);
        }
        catch (Exception e) when (e is UnusableInputException or OverflowException)
        {
            throw new UnusableInputException($"{path}: tensor {Quote.Name(name)} cannot be {format} of its shape in config.json: {e.Message}", e);
        }
    }

    private static byte[] Table(string path, string name, Format format, Dictionary<string, Placed> all)
    {
        if (!all.TryGetValue(name + TableSuffix, out Placed place) || place.Tensor.Type != Bytes || place.Tensor.Bytes != format.SharedBytes || format.SharedBytes > int.MaxValue)
            throw new UnusableInputException($"{path}: tensor {Quote.Name(name)} in {format} needs {Quote.Name(name + TableSuffix)} beside it, {format.SharedBytes} bytes of type {Bytes}");
        return new ReadOnlySpan<byte>(place.File.Pointer + place.Offset, (int)place.Tensor.Bytes).ToArray();
    }
}
