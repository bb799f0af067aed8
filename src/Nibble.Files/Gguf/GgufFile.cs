using Nibble.Core;

namespace Nibble.Files.Gguf;

/// <summary>A GGUF file of version 2 or 3, little-endian; the first shard of a model opens all of them.</summary>
public sealed unsafe class GgufFile : MappedTensors
{
    /// <exception cref="UnusableInputException">The file or a shard is missing or damaged, or not the first shard.</exception>
    public GgufFile(string path) : this(path, GgufShards.Open(path)) { }

    private GgufFile(string path, List<GgufHeader> shards)
        : base(path, [.. shards.Select(s => s.File)], [.. shards.SelectMany(s => s.Places)])
    {
        Metadata = shards[0].Metadata;
        if (Metadata.GetUInt32(GgufShards.CountKey, 0) > 0)
        {
            foreach (string key in GgufShards.Keys) Metadata.Remove(key);
        }
        Version = shards[0].Version;
        Alignment = shards[0].Alignment;
        Shards = [.. shards.Select(s => s.File.Path)];
        BytesBehind = shards.Sum(s => s.BytesBehind);
    }

    /// <summary>That of the first shard, without the keys that tell of shards: what is written with it is whole again.</summary>
    public GgufMetadata Metadata { get; }

    public uint Version { get; }

    /// <summary>The alignment of every tensor's data, in bytes.</summary>
    public uint Alignment { get; }

    /// <summary>The paths of all files, this one first.</summary>
    public IReadOnlyList<string> Shards { get; }

    /// <summary>Bytes behind the tensors, all files together; they mean nothing, and llama.cpp passes over them too.</summary>
    public long BytesBehind { get; }

    /// <summary>Whether a file begins as a GGUF file does.</summary>
    public static bool IsOne(MappedFile file) => file.Length >= 4 && *(uint*)file.Pointer == GgufHeader.Magic;
}
