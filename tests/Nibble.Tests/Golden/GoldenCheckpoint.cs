using System.Runtime.CompilerServices;
using System.Text.Json;

namespace Nibble.Tests.Golden;

/// <summary>
/// Folders of tiny checkpoints with what transformers computed of them. Three are part of the project; the others are in
/// the shared data folder.
/// </summary>
public static class GoldenCheckpoint
{
    /// <summary>The folder of an architecture; skips the running test where it is missing.</summary>
    public static string Folder(string name)
    {
        string own = Own(name);
        return Directory.Exists(own) ? own : SharedData.Path($"golden/architectures/{name}");
    }

    /// <summary>A copy of a folder of the project that a test may change.</summary>
    /// <param name="to">An existing folder.</param>
    public static void Copy(string name, string to)
    {
        foreach (string file in Directory.EnumerateFiles(Own(name))) File.Copy(file, Path.Combine(to, Path.GetFileName(file)));
    }

    /// <summary>Makes a folder of links to a checkpoint, with a tokenizer of bytes beside it.</summary>
    public static string WithTokenizer(string name, string to)
    {
        Directory.CreateDirectory(to);
        foreach (string file in Directory.EnumerateFiles(Folder(name))) File.CreateSymbolicLink(Path.Combine(to, Path.GetFileName(file)), file);
        string alphabet = string.Join(", ", Enumerable.Range(33, 94).Append(0x120).Select((c, i) => $"{JsonSerializer.Serialize(((char)c).ToString())}: {i}"));
        File.WriteAllText(Path.Combine(to, "tokenizer.json"), $$"""
            {"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
            "post_processor": null, "decoder": {"type": "ByteLevel"}, "model": {"type": "BPE", "vocab": { {{alphabet}} }, "merges": []} }
            """);
        return to;
    }

    /// <summary>A folder beside this file.</summary>
    public static string Root(string name) => Path.Combine(Here(), name);

    private static string Own(string name) => Path.Combine(Here(), "architectures", name);

    private static string Here([CallerFilePath] string here = "") => Path.GetDirectoryName(here)!;
}
