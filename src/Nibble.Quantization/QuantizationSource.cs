using Nibble.Core;
using Nibble.Files;
using Nibble.Files.Gguf;
using Nibble.Models;
using Nibble.Models.Tokenizers;
using Nibble.Quantization.Recipes;

namespace Nibble.Quantization;

/// <summary>A model as a quantizer reads it: all that a GGUF file of it holds, but for the formats.</summary>
public sealed class QuantizationSource : IDisposable
{
    private readonly ModelSource _source;

    /// <summary>Opens a Hugging Face folder or a GGUF file.</summary>
    /// <exception cref="UnusableInputException">One line says what is wrong with it.</exception>
    public QuantizationSource(string path)
    {
        _source = ModelSource.Open(path);
        try
        {
            Metadata = new GgufMetadata(path);
            _source.WriteGgufMetadata(Metadata);
            if (_source.File is not GgufFile) Warnings = Describe(path);
            Tensors = [.. _source.GgufTensors().Select(t => new SourceTensor(_source.File, t))];
        }
        catch
        {
            _source.Dispose();
            throw;
        }
    }

    public string Path => _source.Path;

    /// <summary>The files that hold the weights.</summary>
    public IReadOnlyList<string> Files => _source.File is MappedTensors mapped ? mapped.Files : [];

    /// <summary>To be written, with what the quantizer adds.</summary>
    public GgufMetadata Metadata { get; }

    /// <summary>What GGUF cannot say of this model, a sentence each.</summary>
    public IReadOnlyList<string> Warnings { get; } = [];

    public IReadOnlyList<SourceTensor> Tensors { get; }

    public ModelTraits Traits(bool hasImportance) => new(
        _source.Config.Architecture, _source.Config.Layers.Count, _source.Config.Heads / _source.Config.KvHeads,
        _source.Config.Experts?.Count ?? 0, hasImportance);

    /// <summary>Adds what a Hugging Face folder says beside its weights.</summary>
    private IReadOnlyList<string> Describe(string path)
    {
        string full = System.IO.Path.GetFullPath(path);
        string folder = Directory.Exists(full) ? full : System.IO.Path.GetDirectoryName(full)!;
        Metadata.Set("general.name", System.IO.Path.GetFileName(System.IO.Path.TrimEndingDirectorySeparator(folder)));
        if (!File.Exists(System.IO.Path.Combine(folder, "tokenizer.json")))
            return [$"{path}: has no tokenizer.json, so the file will have no tokenizer and cannot read text; save it with transformers' save_pretrained"];
        return Tokenizer.FromFolder(folder).WriteTo(Metadata, _source.Config.Vocabulary);
    }

    public void Dispose() => _source.Dispose();
}
