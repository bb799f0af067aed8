using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Files.Safetensors;

namespace Nibble.Files.Packed;

/// <summary>
/// Writes a folder that <see cref="PackedFolder"/> reads, tensor by tensor: for one whose format shares a table first
/// <see cref="WriteTable"/>, then its rows in pieces of any length. The folder takes its place at <see cref="Commit"/>.
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
    private readonly SafetensorsWriter _writer;

    /// <param name="path">The folder to write.</param>
    /// <param name="original">The model's folder: its config.json and tokenizer are taken over.</param>
    /// <param name="tensors">In the order of their data, each with its format.</param>
    /// <param name="metadata">Written into the safetensors file, or null.</param>
    /// <param name="force">Whether an existing model folder may be replaced.</param>
    /// <exception cref="UnusableInputException">The folder exists, or cannot be written, or two tensors would have one name.</exception>
    public PackedWriter(string path, string original, IReadOnlyList<TensorInfo> tensors, IReadOnlyDictionary<string, string>? metadata = null, bool force = false)
    {
        _folder = new OutputFolder(path, force);
        try
        {
            File.WriteAllBytes(_folder.PathOf("config.json"), PackedConfig.Write(original, tensors.Where(PackedFolder.IsPacked)));
            foreach (string file in Companions.Select(name => Path.Combine(original, name)).Where(File.Exists)) _folder.Copy(file);
            _writer = new SafetensorsWriter(_folder.PathOf(SafetensorsFolder.SingleFile), [.. tensors.SelectMany(PackedFolder.Stored)], metadata);
        }
        catch
        {
            _folder.Dispose();
            throw;
        }
    }

    /// <summary>The safetensor whose bytes come next: a tensor, or its table; null when all are written.</summary>
    public TensorInfo? Current => _writer.Current;

    /// <summary>Writes the table of the tensor that comes next; nothing for a format that shares none.</summary>
    public void WriteTable(Format learned) => _writer.Write(learned.Shared.Span);

    /// <summary>The next bytes of the tensor that comes next.</summary>
    public void Write(ReadOnlySpan<byte> bytes) => _writer.Write(bytes);

    /// <summary>Copies a tensor from another file, unchanged.</summary>
    public void Copy(TensorFile source, TensorInfo tensor) => _writer.Copy(source, tensor);

    /// <summary>Puts the finished folder in its place.</summary>
    /// <exception cref="InvalidOperationException">A tensor was declared and not written.</exception>
    public void Commit()
    {
        _writer.Commit();
        _writer.Dispose();
        _folder.Commit();
    }

    /// <summary>Deletes what was written, unless it was committed.</summary>
    public void Dispose()
    {
        _writer.Dispose();
        _folder.Dispose();
    }
}
