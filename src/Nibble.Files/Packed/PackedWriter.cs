using Nibble.Core;
using Nibble.Files.Safetensors;

namespace Nibble.Files.Packed;

/// <summary>
/// Writes a folder that <see cref="PackedFolder"/> reads: configuration and tokenizer of the original, and the tensors, one
/// after the other. The folder takes its place at <see cref="Commit"/>.
/// </summary>
public sealed class PackedWriter : IDisposable
{
    /// <summary>Files beside the weights that a model needs, if the original has them.</summary>
    private static readonly string[] Companions =
    [
        "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt",
        "vocab.txt", "chat_template.jinja", "generation_config.json",
    ];

    private readonly OutputFolder _folder;

    /// <param name="path">The folder to write.</param>
    /// <param name="original">The model's folder: its config.json and tokenizer are taken over.</param>
    /// <param name="tensors">In the order of their data, each with its format.</param>
    /// <param name="metadata">Written into the safetensors file, or null.</param>
    /// <param name="force">Whether an existing model folder may be replaced.</param>
    /// <param name="untie">Whether the head is a tensor of its own, which in the original is the embedding.</param>
    /// <exception cref="UnusableInputException">The folder exists, or cannot be written, or two tensors would have one name.</exception>
    public PackedWriter(string path, string original, IReadOnlyList<TensorInfo> tensors, IReadOnlyDictionary<string, string>? metadata = null, bool force = false, bool untie = false)
    {
        _folder = new OutputFolder(path, force);
        try
        {
            File.WriteAllBytes(_folder.PathOf("config.json"), PackedConfig.Write(original, [.. tensors.Where(PackedFolder.IsPacked)], untie));
            foreach (string file in Companions.Select(name => Path.Combine(original, name)).Where(File.Exists)) _folder.Copy(file);
            Tensors = new SafetensorsWriter(_folder.PathOf(SafetensorsFolder.SingleFile), Stored(tensors), metadata);
        }
        catch
        {
            _folder.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Takes the bytes: of a tensor whose format shares a table first the table (<see cref="Core.Formats.Format.Shared"/>),
    /// then the rows in pieces of any length.
    /// </summary>
    public TensorWriter Tensors { get; }

    /// <summary>The length of the weights' file that such a writer makes.</summary>
    public static long LengthOf(string path, IReadOnlyList<TensorInfo> tensors, IReadOnlyDictionary<string, string>? metadata = null) =>
        SafetensorsWriter.LengthOf(path, Stored(tensors), metadata);

    private static List<TensorInfo> Stored(IReadOnlyList<TensorInfo> tensors) => [.. tensors.SelectMany(PackedFolder.Stored)];

    /// <summary>Puts the finished folder in its place.</summary>
    /// <exception cref="InvalidOperationException">A tensor was declared and not written.</exception>
    public void Commit()
    {
        Tensors.Commit();
        Tensors.Dispose();
        _folder.Commit();
    }

    /// <summary>Deletes what was written, unless it was committed.</summary>
    public void Dispose()
    {
        Tensors.Dispose();
        _folder.Dispose();
    }
}
