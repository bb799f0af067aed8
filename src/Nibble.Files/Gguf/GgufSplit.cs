using Nibble.Core;

namespace Nibble.Files.Gguf;

/// <summary>
/// Cuts a GGUF file into shards and puts shards together again, as llama.cpp names and numbers them. The data is copied
/// as it is: what is split and merged is the same to the byte.
/// </summary>
public static class GgufSplit
{
    /// <param name="source">Open, whole or in shards.</param>
    /// <param name="prefix">The shards are named <c>PREFIX-00001-of-00003.gguf</c>.</param>
    /// <param name="shardBytes">The most data a shard may hold; a tensor that is larger has a shard of its own.</param>
    /// <param name="shardTensors">The most tensors a shard may hold.</param>
    /// <param name="force">Whether existing files may be replaced.</param>
    /// <returns>The paths of the shards.</returns>
    /// <exception cref="UnusableInputException">A shard exists, or the disk is too full.</exception>
    public static IReadOnlyList<string> Split(GgufFile source, string prefix, long shardBytes, int shardTensors = int.MaxValue, bool force = false, CancellationToken cancellation = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(shardBytes);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(shardTensors);
        List<List<TensorInfo>> parts = Parts(source.Tensors, shardBytes, shardTensors);
        if (parts.Count > GgufShards.Most)
            throw new UnusableInputException($"{source.Path}: would fall into {parts.Count} shards; allow larger shards, so that there are at most {GgufShards.Most}");
        var writers = new List<GgufWriter>();
        try
        {
            for (int i = 0; i < parts.Count; i++)
            {
                string path = GgufShards.PathOf(prefix, i, parts.Count);
                writers.Add(new GgufWriter(path, ShardMetadata(source, path, i, parts.Count), parts[i], force));
                Copy(source, parts[i], writers[i], cancellation);
            }
            // The first last: as long as it is missing, nobody takes the shards for a model.
            for (int i = parts.Count - 1; i >= 0; i--) writers[i].Commit();
            return [.. writers.Select(w => w.Path)];
        }
        finally
        {
            foreach (GgufWriter writer in writers) writer.Dispose();
        }
    }

    /// <summary>Writes one file of a model that is in shards.</summary>
    /// <exception cref="UnusableInputException">The output exists, or the disk is too full.</exception>
    public static void Merge(GgufFile source, string path, bool force = false, CancellationToken cancellation = default)
    {
        using var writer = new GgufWriter(path, source.Metadata, source.Tensors, force);
        Copy(source, source.Tensors, writer, cancellation);
        writer.Commit();
    }

    private static void Copy(GgufFile source, IReadOnlyList<TensorInfo> tensors, GgufWriter writer, CancellationToken cancellation)
    {
        foreach (TensorInfo tensor in tensors)
        {
            cancellation.ThrowIfCancellationRequested();
            writer.Copy(source, tensor);
        }
    }

    private static List<List<TensorInfo>> Parts(IReadOnlyList<TensorInfo> tensors, long shardBytes, int shardTensors)
    {
        var parts = new List<List<TensorInfo>> { new() };
        long bytes = 0;
        foreach (TensorInfo tensor in tensors)
        {
            if (parts[^1].Count == shardTensors || (parts[^1].Count > 0 && tensor.Bytes > shardBytes - bytes))
            {
                parts.Add([]);
                bytes = 0;
            }
            parts[^1].Add(tensor);
            bytes += tensor.Bytes;
        }
        return parts;
    }

    private static GgufMetadata ShardMetadata(GgufFile source, string path, int shard, int count)
    {
        var metadata = shard == 0 ? new GgufMetadata(source.Metadata, path) : new GgufMetadata(path);
        if (shard > 0 && source.Metadata.Find(GgufHeader.AlignmentKey) is { } alignment) metadata.Set(GgufHeader.AlignmentKey, alignment);
        metadata.Set(GgufShards.NumberKey, (ushort)shard);
        metadata.Set(GgufShards.CountKey, (ushort)count);
        metadata.Set(GgufShards.TensorsKey, source.Tensors.Count);
        return metadata;
    }
}
