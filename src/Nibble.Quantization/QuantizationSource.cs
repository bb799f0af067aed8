using Nibble.Core.Formats;
using Nibble.Core.Threading;
using Nibble.Core;
using Nibble.Files.Gguf;
using Nibble.Files;
using Nibble.Models.Tokenizers;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Quantization.Calibration;
using Nibble.Quantization.Evaluation;
using Nibble.Quantization.Methods;
using Nibble.Quantization.Recipes;

namespace Nibble.Quantization;

/// <summary>A model as a quantizer reads it: all that a GGUF file of it holds, but for the formats.</summary>
public sealed class QuantizationSource : IDisposable
{
    /// <summary>Tokens of a chunk of the text that is calibrated on.</summary>
    private const int CalibrationContext = 512;

    /// <summary>Architectures whose sliding window llama.cpp obeys (src/models).</summary>
    private static readonly string[] WindowReaders = ["cohere2", "gemma2", "gemma3", "gpt-oss", "modern-bert", "olmo2"];

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
            Warnings = [.. _source.Notices, .. _source.File is GgufFile ? [] : (string[])[.. Describe(path), .. LostWindow()]];
            IEnumerable<ExportTensor> tensors = _source.GgufTensors();
            // Layer by layer, so that whoever reads or calibrates in this order holds one layer at a time.
            if (_source.File is not GgufFile) tensors = tensors.OrderBy(t => Position(t.Name));
            Tensors = [.. tensors.Select(t => new SourceTensor(_source.File, t))];
        }
        catch
        {
            _source.Dispose();
            throw;
        }
    }

    public string Path => _source.Path;

    /// <summary>The files that hold the weights.</summary>
    public IReadOnlyList<string> Files => _source.File.Files;

    /// <summary>To be written, with what the quantizer adds.</summary>
    public GgufMetadata Metadata { get; }

    /// <summary>What GGUF cannot say of this model, a sentence each.</summary>
    public IReadOnlyList<string> Warnings { get; } = [];

    public IReadOnlyList<SourceTensor> Tensors { get; }

    /// <summary>Layers of the model.</summary>
    public int Layers => _source.Config.Layers.Count;

    /// <summary>The matrices of the layers whose importance was not measured.</summary>
    public IEnumerable<SourceTensor> UnmeasuredBy(ImportanceMatrix matrix) => Tensors.Where(t =>
        TensorRoles.LayerOf(t.Info.Name) >= 0 && TensorRoles.IsQuantizable(t.Info.Name, t.Info.Shape.Count) && !matrix.Tensors.ContainsKey(t.Info.Name));

    /// <summary>A quantizer that calibrates on a text, for a plan made for this source.</summary>
    /// <param name="text">Cut into chunks of the context (512 tokens, or the model's if shorter), of which some are taken evenly.</param>
    /// <param name="chunks">How many.</param>
    /// <exception cref="UnusableInputException">The model has no tokenizer, or the text is too short.</exception>
    public LayerQuantizer Calibrate(QuantizationPlan plan, string text, int chunks, CalibratedMethod method, WorkerPool pool)
    {
        var formats = Tensors.Zip(plan.Tensors)
            .Where(t => t.Second.Format.Family != FormatFamily.Float)
            .ToDictionary(t => t.First.ModelName, t => t.Second.Format);
        return new LayerQuantizer(_source, formats, Chunks(text, chunks, CalibrationContext), method, pool);
    }

    /// <summary>Measures what every matrix reads while the model reads a text.</summary>
    /// <param name="context">Tokens a chunk, no more than the model's own context.</param>
    /// <param name="withHead">Whether the matrix that makes the logits counts too.</param>
    /// <param name="progress">Told the layers that are done.</param>
    /// <returns>Of every matrix that the text reached, by its GGUF name.</returns>
    /// <exception cref="UnusableInputException">The model has no tokenizer, or the text is too short.</exception>
    public ImportanceMatrix MeasureImportance(
        string text, string dataset, int chunks, int context, bool withHead, WorkerPool pool, Action<int> progress, CancellationToken cancellation)
    {
        int[][] texts = Chunks(text, chunks, context);
        var probe = new ImportanceProbe();
        using var model = new DecoderModel(_source, pool);
        using var walk = new LayerWalk(model, texts);
        for (int layer = 0; layer < model.LayerCount; layer++)
        {
            walk.Pass(layer, probe, cancellation);
            progress(layer + 1);
        }
        if (withHead) walk.ProbeHead(probe);
        var found = new Dictionary<string, ColumnImportance>();
        foreach (SourceTensor tensor in Tensors.Where(t => t.ModelName.EndsWith(".weight", StringComparison.Ordinal)))
            if (probe.Of(ModuleOf(tensor), tensor.Experts) is { } importance)
                found.Add(tensor.Info.Name, importance);
        return new ImportanceMatrix(found, [dataset], (uint)texts.Length, (uint)texts[0].Length);
    }

    /// <summary>The linear layer that reads with a tensor; the embedding is the head where the two are one.</summary>
    private string ModuleOf(SourceTensor tensor) => _source.Config.TiedHead && tensor.ModelName == "token_embd.weight" ? "output"
        : tensor.ModelName[..^".weight".Length];

    /// <summary>Chunks of a text, taken evenly from it.</summary>
    private int[][] Chunks(string text, int chunks, int context)
    {
        Tokenizer tokenizer = _source.File is GgufFile gguf ? Tokenizer.FromGguf(gguf.Metadata)
            : Tokenizer.FromFolder(Directory.Exists(Path) ? Path : System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(Path))!);
        var cut = EvaluationText.Of(text, tokenizer, Math.Min(context, _source.Config.ContextLength));
        int count = Math.Min(chunks, cut.Chunks);
        return [.. Enumerable.Range(0, count).Select(i => cut.Chunk((int)((long)i * cut.Chunks / count)))];
    }

    public ModelTraits Traits(bool hasImportance) => new(
        _source.Config.Architecture, _source.Config.Layers.Count, _source.Config.Heads / _source.Config.KvHeads,
        _source.Config.Experts?.Count ?? 0, hasImportance);

    /// <summary>What the first layer needs, the layers, and what comes after the last.</summary>
    private static int Position(string tensor) => tensor.StartsWith("output", StringComparison.Ordinal) ? int.MaxValue : TensorRoles.LayerOf(tensor);

    /// <summary>Says that llama.cpp will not slide where the model does, and predict otherwise once a text is longer.</summary>
    private IEnumerable<string> LostWindow()
    {
        int window = _source.Config.Layers.Max(l => l.Window);
        if (window > 0 && window < _source.Config.ContextLength && !WindowReaders.Contains(_source.Config.Architecture))
            yield return $"{Path}: llama.cpp reads no sliding window in {_source.Config.Architecture} models; beyond {window} tokens its predictions are not the model's (nibble slides)";
    }

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
