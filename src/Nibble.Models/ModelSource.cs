using Nibble.Core;
using Nibble.Files;
using Nibble.Files.Gguf;
using Nibble.Files.Packed;
using Nibble.Files.Safetensors;
using Nibble.Models.Architectures;

namespace Nibble.Models;

/// <summary>
/// A model that was opened and understood, but not made ready to run: its configuration is known and each of its tensors
/// was found with the right shape, while no weight was read. To inspect, to quantize, and to make a decoder of.
/// </summary>
public sealed class ModelSource : IDisposable
{
    private ModelSource(TensorFile file, Architecture architecture, ModelConfig config, bool fromHuggingFace)
    {
        (File, Architecture, Config) = (file, architecture, config);
        Tensors = TensorTable.Resolve(file, architecture, config, fromHuggingFace);
    }

    /// <summary>Opens a Hugging Face folder, a safetensors file with config.json beside it, or a GGUF file.</summary>
    /// <exception cref="UnusableInputException">There is no such file, or one line names the key or tensor that stops it.</exception>
    public static ModelSource Open(string path)
    {
        TensorFile file = TensorFile.Open(path);
        try
        {
            return file is GgufFile gguf ? OpenGguf(gguf) : OpenHuggingFace(path, file);
        }
        catch (OverflowException e)
        {
            file.Dispose();
            throw new UnusableInputException($"{path}: the configuration makes a matrix of more than 2^31 rows or columns; no such model is computed", e);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Refuses an encoder where next tokens are to be predicted.</summary>
    /// <exception cref="UnusableInputException">It is one.</exception>
    public void CheckPredicts()
    {
        if (!Config.Causal)
            throw new UnusableInputException($"{Path}: is an encoder ({Config.Architecture}), which predicts no next token; it can be inspected, and quantized by a recipe");
    }

    /// <summary>The path as the user gave it.</summary>
    public string Path => File.Path;

    /// <summary>The folder that it is, or that its file lies in.</summary>
    public string Folder => FolderOf(Path);

    /// <summary>What is not computed as the checkpoint says, or is left out, a sentence each.</summary>
    public IReadOnlyList<string> Notices => [.. File.Notices, .. DecodedTensors()];

    /// <summary>What is computed: sizes, and the choices of the architecture, from config.json or the metadata.</summary>
    public ModelConfig Config { get; }

    /// <summary>The file or folder of its tensors, as they are stored.</summary>
    public TensorFile File { get; }

    /// <summary>The family of models that it is one of.</summary>
    public Architecture Architecture { get; }

    /// <summary>The tensors of the model by name: llama.cpp's, but for a few.</summary>
    public IReadOnlyDictionary<string, ModelTensor> Tensors { get; }

    /// <summary>A note that Nibble left in the file when it made it, in the metadata of GGUF or of safetensors; empty where there is none.</summary>
    /// <param name="key">Such as <c>nibble.training_curve</c>.</param>
    public string Note(string key)
    {
        if (File is GgufFile gguf) return gguf.Metadata.GetString(key, "");
        string weights = Directory.Exists(Path) ? System.IO.Path.Combine(Path, SafetensorsFolder.SingleFile) : Path;
        if (!System.IO.File.Exists(weights)) return "";
        using var file = new SafetensorsFile(weights);
        return file.Metadata.GetValueOrDefault(key, "");
    }

    private static string FolderOf(string path) => Directory.Exists(path) ? path : System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(path))!;

    private static ModelSource OpenHuggingFace(string path, TensorFile file)
    {
        string folder = FolderOf(path);
        JsonConfig json = JsonConfig.Read(folder, file.Tensors.Count);
        bool packed = file is PackedFolder or ForeignCheckpoint;
        if (Multimodal.TextOf(json) is { } text) (json, file) = (text, new TextTensors(file));
        Architecture architecture = Architecture.Of(json);
        ModelConfig config = architecture.Configure(json);
        // Of a model that sees, the whole's configuration ties the head, not the text part's.
        if (file is TextTensors) config = config with { TiedHead = file.Find("lm_head.weight") is null };
        if (packed) json.Ignore("quantization_config", "compression_config");
        json.Complete();
        config.Check(System.IO.Path.Combine(folder, "config.json"));
        return new ModelSource(file, architecture, config, fromHuggingFace: true);
    }

    private static ModelSource OpenGguf(GgufFile file)
    {
        var gguf = new GgufConfig(file);
        Architecture architecture = Architecture.Of(gguf);
        ModelConfig config = architecture.Configure(gguf);
        gguf.Complete();
        config.Check(file.Path);
        return new ModelSource(file, architecture, config, fromHuggingFace: false);
    }

    /// <summary>The tensors of a GGUF file of this model, in the order of its layers.</summary>
    public IEnumerable<ExportTensor> GgufTensors() => File is GgufFile
        ? File.Tensors.Select(t => new ExportTensor(File, t, NameOf(t)))
        : [.. Tensors.Values.Select(t => new ExportTensor(t, Config)), .. ExportTensor.RotaryDivisors(Config)];

    /// <summary>The decoder's name for a tensor of the file; that of the first where several are stored as one.</summary>
    private string NameOf(TensorInfo stored) => Tensors.Values.FirstOrDefault(t => t.Stored.Any(s => s.Name == stored.Name))?.Name ?? stored.Name;

    /// <summary>Writes the metadata that describe the model; of a GGUF file, all that it has.</summary>
    public void WriteGgufMetadata(GgufMetadata metadata)
    {
        if (File is not GgufFile gguf) Architecture.WriteMetadata(Config, metadata);
        else foreach ((string key, object value) in gguf.Metadata) metadata.Set(key, value);
    }

    private IEnumerable<string> DecodedTensors()
    {
        int decoded = Tensors.Values.Count(t => t.IsDecoded);
        if (decoded > 0) yield return $"{Path}: {decoded} matrices are needed transposed, which their packed blocks cannot be: they are held as float32";
    }

    /// <summary>Closes the file. Decoders made of it keep the weights they read, which are mapped.</summary>
    public void Dispose() => File.Dispose();
}
