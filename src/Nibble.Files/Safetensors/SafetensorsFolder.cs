using Nibble.Core;

namespace Nibble.Files.Safetensors;

/// <summary>
/// The weights of a Hugging Face folder: <c>model.safetensors</c>, or the shards that <c>model.safetensors.index.json</c>
/// names.
/// </summary>
public sealed class SafetensorsFolder : MappedTensors
{
    public const string SingleFile = "model.safetensors";
    public const string IndexFile = "model.safetensors.index.json";

    /// <param name="path">The folder.</param>
    /// <exception cref="UnusableInputException">The folder has no weights, or a file in it is missing or damaged.</exception>
    public SafetensorsFolder(string path) : this(path, OpenShards(path)) { }

    private SafetensorsFolder(string path, List<SafetensorsHeader> shards)
        : base(path, [.. shards.Select(s => s.File)], [.. shards.SelectMany(s => s.Places)]) { }

    internal static List<SafetensorsHeader> OpenShards(string folder)
    {
        string single = System.IO.Path.Combine(folder, SingleFile), index = System.IO.Path.Combine(folder, IndexFile);
        if (File.Exists(single)) return [SafetensorsHeader.Read(new MappedFile(single))];
        if (!File.Exists(index)) throw NoWeights(folder);
        Dictionary<string, string> shardOf = SafetensorsIndex.Read(index);
        var shards = new List<SafetensorsHeader>();
        try
        {
            foreach (string shard in shardOf.Values.Distinct().Order(StringComparer.Ordinal))
            {
                string path = System.IO.Path.Combine(folder, shard);
                if (!File.Exists(path))
                    throw new UnusableInputException($"{folder}: the shard {Quote.Name(shard)} that {IndexFile} names is missing; download it");
                shards.Add(SafetensorsHeader.Read(new MappedFile(path)));
            }
            CheckIndex(folder, shardOf, shards);
            return shards;
        }
        catch
        {
            foreach (SafetensorsHeader shard in shards) shard.File.Dispose();
            throw;
        }
    }

    private static void CheckIndex(string folder, Dictionary<string, string> shardOf, List<SafetensorsHeader> shards)
    {
        var found = new Dictionary<string, string>();
        foreach (SafetensorsHeader shard in shards)
        {
            string file = System.IO.Path.GetFileName(shard.File.Path);
            foreach (Placed place in shard.Places)
            {
                if (!found.TryAdd(place.Tensor.Name, file))
                    throw new UnusableInputException($"{folder}: tensor {Quote.Name(place.Tensor.Name)} is in two shards, {Quote.Name(found[place.Tensor.Name])} and {Quote.Name(file)}");
            }
        }
        foreach ((string tensor, string shard) in shardOf)
        {
            if (!found.TryGetValue(tensor, out string? file) || file != shard)
                throw new UnusableInputException($"{folder}: {IndexFile} says that tensor {Quote.Name(tensor)} is in {Quote.Name(shard)}, but it is not; download the shards and the index again");
        }
    }

    private static UnusableInputException NoWeights(string folder)
    {
        string[] others = [.. Directory.EnumerateFiles(folder)
            .Where(f => System.IO.Path.GetExtension(f).ToUpperInvariant() is ".SAFETENSORS" or ".GGUF" or ".BIN" or ".PT" or ".PTH")
            .Select(f => System.IO.Path.GetFileName(f)).Order(StringComparer.Ordinal).Take(3)];
        string instead = others.Length == 0 ? "" : $"; it has {string.Join(", ", others.Select(Quote.Name))}: name a .safetensors or .gguf file itself, convert others to safetensors";
        return new UnusableInputException($"{folder}: has neither {SingleFile} nor {IndexFile}{instead}");
    }
}
