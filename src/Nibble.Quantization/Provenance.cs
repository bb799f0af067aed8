using System.Runtime.ExceptionServices;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Win32.SafeHandles;
using Nibble.Core;
using Nibble.Files.Gguf;
using Nibble.Quantization.Methods;
using Nibble.Quantization.Recipes;
using Nibble.Quantization.Rotation;

namespace Nibble.Quantization;

/// <summary>Writes into a file what it was made from, with what, and how: enough to make it again.</summary>
public static class Provenance
{
    /// <summary>Few calls of the system, and the bytes are still in the second cache when they are hashed.</summary>
    private const int HashedAtOnce = 256 << 10;

    /// <summary>ggml's version of its quantized types.</summary>
    private const uint QuantizationVersion = 2;

    public static string Program { get; } = $"nibble {typeof(Provenance).Assembly.GetName().Version?.ToString(3)}";

    /// <summary>The source's metadata, with the plan's beside it.</summary>
    /// <param name="sourceHash">That of the source, or what stands for it until it is known.</param>
    public static GgufMetadata Describe(QuantizationSource source, QuantizationPlan plan, QuantizeOptions options, string path, string sourceHash)
    {
        var metadata = new GgufMetadata(source.Metadata!, path);
        metadata.Set("general.quantization_version", QuantizationVersion);
        if (plan.Recipe.FileType is { } type) metadata.Set("general.file_type", type);
        else metadata.Remove("general.file_type");
        metadata.Set("general.quantized_by", Program);
        metadata.Set("nibble.recipe", string.Join(' ', Words(plan, options)));
        metadata.Set("nibble.source_sha256", sourceHash);
        if (source.Rotation.Length > 0) metadata.Set(ResidualRotation.Key, source.Rotation);
        return metadata;
    }

    /// <summary>The same for a folder, whose configuration stands beside the weights.</summary>
    public static IReadOnlyDictionary<string, string> DescribeFolder(QuantizationSource source, QuantizationPlan plan, QuantizeOptions options, bool hash)
    {
        var metadata = new Dictionary<string, string>
        {
            ["format"] = "pt",
            ["nibble.quantized_by"] = Program,
            ["nibble.recipe"] = string.Join(' ', Words(plan, options)),
            ["nibble.source_sha256"] = hash ? Hash(source.Origin) : new string('0', 64),
        };
        if (source.Rotation.Length > 0) metadata[ResidualRotation.Key] = source.Rotation;
        return metadata;
    }

    /// <summary>Recipe, method, and what was asked for beside them.</summary>
    private static IEnumerable<string> Words(QuantizationPlan plan, QuantizeOptions options)
    {
        yield return plan.Recipe.Name;
        yield return options.Calibrated?.Method ?? (options.Hqq ? Hqq.Word : options.Importance is null ? "nearest" : ImportanceRounding.Word);
        if (options.CalibratedOn is { } calibration) yield return calibration;
        if (options.Range is { } range) yield return $"range={range.Name}";
        if (plan.Options.Pure) yield return "pure";
        if (plan.Options.HeadFormat is { } head) yield return $"head={head}";
        foreach (FormatOverride change in plan.Options.Overrides) yield return $"{change.Pattern}={change.Format}";
    }

    /// <summary>The first 16 digits of what sha256sum prints for a file: enough to know it again.</summary>
    /// <exception cref="UnusableInputException">The file cannot be read.</exception>
    public static string ShortHash(string path)
    {
        try
        {
            return Hash([path])[..16];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UnusableInputException($"{path}: cannot be read: {e.Message}", e);
        }
    }

    /// <summary>
    /// Stands for the source's hash until that is known, which takes seconds: lengths, times and names of its files, as a hash.
    /// </summary>
    public static string Fingerprint(IReadOnlyList<string> files)
    {
        IEnumerable<string> lines = files.Select(f => new FileInfo(f)).Select(f => $"{f.Length} {f.LastWriteTimeUtc.Ticks} {f.Name}\n");
        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(string.Concat(lines))));
    }

    /// <summary>What sha256sum prints for the file; for shards, what it prints for the list of theirs, a line each.</summary>
    /// <exception cref="IOException">One of them cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">One of them may not be read.</exception>
    public static string Hash(IReadOnlyList<string> files)
    {
        var hashes = new string[files.Count];
        try
        {
            Parallel.For(0, files.Count, i => hashes[i] = Convert.ToHexStringLower(HashOf(files[i])));
        }
        catch (AggregateException e)
        {
            // Of several files that cannot be read, the first says enough.
            ExceptionDispatchInfo.Throw(e.InnerException!);
        }
        return hashes is [var only] ? only : Convert.ToHexStringLower(SHA256.HashData(Encoding.ASCII.GetBytes(string.Concat(hashes.Select(h => h + "\n")))));
    }

    private static byte[] HashOf(string file)
    {
        using SafeFileHandle handle = File.OpenHandle(file, options: FileOptions.SequentialScan);
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var bytes = new byte[HashedAtOnce];
        long at = 0;
        for (int read; (read = RandomAccess.Read(handle, bytes, at)) > 0; at += read) hash.AppendData(bytes, 0, read);
        return hash.GetHashAndReset();
    }
}
