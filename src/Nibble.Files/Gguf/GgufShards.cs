using System.Globalization;
using Nibble.Core;

namespace Nibble.Files.Gguf;

/// <summary>
/// A model in several GGUF files, <c>NAME-00001-of-00003.gguf</c> and so on. The metadata is in the first; every shard
/// says its number, from 0, and how many there are.
/// </summary>
internal static class GgufShards
{
    public const string CountKey = "split.count", NumberKey = "split.no", TensorsKey = "split.tensors.count";

    /// <summary>The most shards that llama.cpp's 16-bit count can tell.</summary>
    public const int Most = ushort.MaxValue;

    public static IReadOnlyList<string> Keys { get; } = [NumberKey, CountKey, TensorsKey];

    /// <summary>The file of one shard, counted from 0.</summary>
    public static string PathOf(string prefix, int shard, int count) =>
        string.Create(CultureInfo.InvariantCulture, $"{prefix}-{shard + 1:D5}-of-{count:D5}.gguf");

    /// <summary>Opens the file, and if it is the first of several, all of them.</summary>
    public static List<GgufHeader> Open(string path)
    {
        var shards = new List<GgufHeader> { GgufHeader.Read(new MappedFile(path)) };
        try
        {
            GgufMetadata metadata = shards[0].Metadata;
            uint count = metadata.GetUInt32(CountKey, 1);
            if (count <= 1) return shards;
            string prefix = PrefixOf(path, metadata.GetUInt32(NumberKey), count);
            IEnumerable<string> others = Enumerable.Range(1, (int)count - 1).Select(i => PathOf(prefix, i, (int)count));
            if (others.FirstOrDefault(p => !File.Exists(p)) is { } missing)
                throw new UnusableInputException($"{path}: the shard {missing} is missing; put it beside the first");
            foreach (string other in others) shards.Add(OpenShard(other, shards.Count, count));
            CheckTensors(path, shards);
            return shards;
        }
        catch
        {
            foreach (GgufHeader shard in shards) shard.File.Dispose();
            throw;
        }
    }

    private static string PrefixOf(string path, uint number, uint count)
    {
        if (number >= count || count > Most)
            throw new UnusableInputException($"{path}: says that it is shard {number + 1L} of {count}; shards go from 1 to their count, {Most} at most");
        string end = PathOf("", (int)number, (int)count);
        if (!path.EndsWith(end, StringComparison.Ordinal))
            throw new UnusableInputException($"{path}: says that it is shard {number + 1} of {count}, so its name must end in {end}");
        string prefix = path[..^end.Length];
        return number == 0 ? prefix
            : throw new UnusableInputException($"{path}: is shard {number + 1} of {count}; open the first, {PathOf(prefix, 0, (int)count)}");
    }

    private static GgufHeader OpenShard(string path, int number, uint count)
    {
        GgufHeader shard = GgufHeader.Read(new MappedFile(path));
        if (shard.Metadata.Contains(NumberKey) && shard.Metadata.GetUInt32(NumberKey) == number
            && (!shard.Metadata.Contains(CountKey) || shard.Metadata.GetUInt32(CountKey) == count)) return shard;
        shard.File.Dispose();
        throw new UnusableInputException($"{path}: does not say that it is shard {number + 1} of {count} ({NumberKey}, {CountKey}); it belongs to another model");
    }

    private static void CheckTensors(string path, List<GgufHeader> shards)
    {
        var names = new HashSet<string>();
        foreach (GgufHeader shard in shards)
        {
            foreach (Placed place in shard.Places)
            {
                if (!names.Add(place.Tensor.Name))
                    throw new UnusableInputException($"{shard.File.Path}: tensor {Quote.Name(place.Tensor.Name)} is in an earlier shard too");
            }
        }
        uint expected = shards[0].Metadata.GetUInt32(TensorsKey, (uint)names.Count);
        if (expected != names.Count)
            throw new UnusableInputException($"{path}: {TensorsKey} is {expected}, but the shards hold {names.Count} tensors; download them again");
    }
}
