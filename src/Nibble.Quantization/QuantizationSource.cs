using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Threading;
using Nibble.Files;
using Nibble.Files.Gguf;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Models.Tokenizers;
using Nibble.Quantization.Calibration;
using Nibble.Quantization.Evaluation;
using Nibble.Quantization.Methods;
using Nibble.Quantization.Recipes;
using Nibble.Quantization.Rotation;

namespace Nibble.Quantization;

/// <summary>A model as a quantizer reads it: all that the output holds, but for the formats.</summary>
public sealed class QuantizationSource : IDisposable
{
    /// <summary>Tokens of a chunk of the text that is calibrated on.</summary>
    private const int CalibrationContext = 512;

    /// <summary>Architectures whose sliding window llama.cpp obeys (src/models).</summary>
    private static readonly string[] WindowReaders = ["cohere2", "gemma2", "gemma3", "gpt-oss", "modern-bert", "olmo2"];

    private readonly ModelSource _source;
    private readonly string? _rotation;
    private string? _hash;

    /// <summary>Opens a Hugging Face folder or a GGUF file.</summary>
    /// <param name="path">The model.</param>
    /// <param name="output">A file's name ends with <c>.gguf</c>; anything else is a folder. Null if the model is only looked at, as for a file.</param>
    /// <param name="origin">The files of the model that the output is known to be made from, where this is that one's <see cref="RotatedModel"/>.</param>
    /// <exception cref="UnusableInputException">One line says what is wrong with it.</exception>
    public QuantizationSource(string path, string? output = null, IReadOnlyList<string>? origin = null) : this(path, output, origin, rotates: false) { }

    private QuantizationSource(string path, string? output, IReadOnlyList<string>? origin, bool rotates)
    {
        Output = output ?? "";
        _source = ModelSource.Open(path);
        Origin = origin ?? Files;
        try
        {
            Warnings = _source.Notices;
            IEnumerable<SourceTensor> tensors = IsForFolder ? OpenForFolder() : OpenForGguf();
            // Layer by layer, so that whoever reads or calibrates in this order holds one layer at a time.
            if (_source.File is not GgufFile) tensors = tensors.OrderBy(t => Position(t.Info.Name));
            Tensors = [.. tensors];
            if (!rotates) return;
            var rotation = new ResidualRotation(_source);
            (Tensors, _rotation) = ([.. rotation.Rotate(Tensors)], rotation.Note);
        }
        catch
        {
            _source.Dispose();
            throw;
        }
    }

    /// <summary>Opens a model to be written with its residual stream rotated.</summary>
    /// <param name="output">As for the model itself; a folder is written of a folder.</param>
    /// <exception cref="UnusableInputException">It cannot be read, or not be rotated.</exception>
    public static QuantizationSource Rotated(string path, string output) => new(path, output, null, rotates: true);

    /// <summary>The path as the user gave it.</summary>
    public string Path => _source.Path;

    /// <summary>Where it shall be written; empty if it is only looked at.</summary>
    public string Output { get; }

    /// <summary>Whether the tensors are those of a folder, not of a GGUF file.</summary>
    public bool IsForFolder => Output.Length > 0 && IsFolder(Output);

    /// <summary>The folder of the model, or of its file.</summary>
    public string Folder => _source.Folder;

    /// <summary>The files that hold the weights.</summary>
    public IReadOnlyList<string> Files => _source.File.Files;

    /// <summary>The files of the model that the output is known to be made from.</summary>
    public IReadOnlyList<string> Origin { get; }

    /// <summary>How the residual stream is rotated, as the file says it; empty where it is not.</summary>
    public string Rotation => _rotation ?? _source.Note(ResidualRotation.Key);

    /// <summary>Whether the output has a head of its own where the model had its embedding.</summary>
    public bool UntiesHead => _rotation is not null && _source.Config.TiedHead;

    /// <summary>For a GGUF file, to be written with what the quantizer adds.</summary>
    public GgufMetadata? Metadata { get; private set; }

    /// <summary>What the output cannot say of this model, a sentence each.</summary>
    public IReadOnlyList<string> Warnings { get; private set; } = [];

    /// <summary>What the output holds, in its order.</summary>
    public IReadOnlyList<SourceTensor> Tensors { get; }

    /// <summary>Layers of the model.</summary>
    public int Layers => _source.Config.Layers.Count;

    /// <summary>What messages call the text that is read, such as its path.</summary>
    public string? TextName { get; init; }

    /// <summary>The matrices of the layers whose importance was not measured.</summary>
    public IEnumerable<SourceTensor> UnmeasuredBy(ImportanceMatrix matrix) => Tensors.Where(t =>
        TensorRoles.LayerOf(t.Info.Name) >= 0 && TensorRoles.IsQuantizable(t.Info.Name, t.Info.Shape.Count) && !matrix.Tensors.ContainsKey(t.Info.Name));

    /// <summary>Tensors that a folder gets as they are: those the decoder does not read, or reads in two ways.</summary>
    public IReadOnlyList<TensorInfo> Unchanged { get; private set; } = [];

    /// <summary>Whether an output of this name is a folder.</summary>
    public static bool IsFolder(string output) => !System.IO.Path.GetExtension(output).Equals(".gguf", StringComparison.OrdinalIgnoreCase);

    private IEnumerable<SourceTensor> OpenForGguf()
    {
        Metadata = new GgufMetadata(Path);
        _source.WriteGgufMetadata(Metadata);
        if (_source.File is not GgufFile) Warnings = [.. Warnings, .. Describe(), .. LostWindow()];
        return _source.GgufTensors().Select(t => new GgufSourceTensor(_source.File, t));
    }

    private List<CheckpointTensor> OpenForFolder()
    {
        if (_source.File is GgufFile)
            throw new UnusableInputException($"{Output}: a folder is made from a Hugging Face folder, and {Path} is GGUF; quantize the original model, or name a .gguf file");
        List<CheckpointTensor> tensors = [.. CheckpointTensor.All(_source)];
        HashSet<string> known = [.. tensors.Select(t => t.StoredName)];
        Unchanged = [.. _source.File.Tensors.Where(t => !known.Contains(t.Name))];
        if (Unchanged.FirstOrDefault(t => t.HasColumnOrder) is { } sorted)
            throw new UnusableInputException($"{Path}: tensor {Quote.Name(sorted.Name)} has its columns in another order (act-order), which a folder cannot say; start from the original model");
        return tensors;
    }

    /// <summary>Copies a tensor that is <see cref="Unchanged"/>.</summary>
    public void Copy(TensorInfo unchanged, TensorWriter writer)
    {
        writer.Write(unchanged.Format is { } format ? format.Shared.Span : default);
        writer.Copy(_source.File, unchanged);
    }

    /// <summary>A quantizer that calibrates on a text, for a plan made for this source.</summary>
    /// <param name="text">Cut into chunks of the context (512 tokens, or the model's if shorter), of which some are taken evenly.</param>
    /// <param name="chunks">How many.</param>
    /// <param name="onePass">Whether each layer sees the original's inputs, not those that the quantized layers before it produce.</param>
    /// <param name="saved">The moments of the original's inputs on this text, in one pass, where they are at hand.</param>
    /// <exception cref="UnusableInputException">The model has no tokenizer, or the text is too short.</exception>
    public LayerQuantizer Calibrate(QuantizationPlan plan, string text, int chunks, CalibratedMethod method, WorkerPool pool, bool onePass = false, MomentsFile? saved = null)
    {
        IEnumerable<CalibratedTensor> tensors = Tensors.Zip(plan.Tensors)
            .Where(t => t.Second.Format.Family != FormatFamily.Float)
            .Select(t => new CalibratedTensor(t.Second.Format, t.First.Matrices));
        return new LayerQuantizer(_source, tensors, Chunks(text, chunks), method, pool, onePass, saved);
    }

    /// <summary>What statistics measured on a text are known by.</summary>
    /// <param name="chunks">As many of the text as are read.</param>
    /// <exception cref="UnusableInputException">The model has no tokenizer, or the text is too short.</exception>
    public StatisticsKey StatisticsKey(string text, int chunks)
    {
        string config = System.IO.Path.Combine(Folder, "config.json");
        _hash ??= Provenance.Hash(_source.File is not GgufFile && File.Exists(config) ? [.. Files, config] : Files);
        return Calibration.StatisticsKey.Of(_hash, Chunks(text, chunks));
    }

    /// <summary>Measures the second moments of what every linear layer reads while the model reads a text, into a file.</summary>
    /// <param name="key">Of the text.</param>
    /// <param name="progress">Told the layers that are done.</param>
    /// <returns>Inputs that were measured: all, but for those that a stopped run had measured before.</returns>
    public int MeasureMoments(string path, StatisticsKey key, string text, WorkerPool pool, Action<int> progress, CancellationToken cancellation) =>
        MomentsFile.Measure(path, key, _source, Chunks(text, (int)key.Chunks), pool, progress, cancellation);

    /// <summary>What carrying out a plan will take; null where formats learn tables from the weights, for which nobody can say.</summary>
    /// <param name="text">Calibrated on, as in <see cref="Calibrate"/>; read only with a method.</param>
    /// <param name="method">Null is nearest rounding.</param>
    /// <param name="inputs">What the method calibrates on.</param>
    /// <param name="held">Bytes of memory that the process held before the plan was made.</param>
    public Forecast? Forecast(QuantizationPlan plan, QuantizeOptions options, CalibratedMethod? method, string? text, int chunks, CalibrationInputs inputs, long held, WorkerPool pool)
    {
        if (plan.Tensors.Any(t => t.Format.SharedBytes > 0)) return null;
        var forecaster = new Forecaster(_source.Config, Tensors, plan, options, held, pool);
        return method is null ? forecaster.Nearest() : forecaster.Calibrated(method, Chunks(text!, chunks), inputs);
    }

    /// <summary>Whether the tensor makes the logits: the output matrix, or the embedding where the two are one.</summary>
    public bool IsHead(SourceTensor tensor) =>
        tensor.Info.Name == "output.weight" || (_source.Config.TiedHead && tensor.Info.Name == "token_embd.weight");

    /// <inheritdoc cref="ModelSource.CheckPredicts"/>
    public void CheckPredicts() => _source.CheckPredicts();

    /// <summary>Makes ready to measure what the error of single tensors does to the predictions on a text.</summary>
    /// <exception cref="UnusableInputException">The model is an encoder or has no tokenizer, or the text is too short.</exception>
    internal Sensitivity MeasureSensitivity(string text, int chunks, WorkerPool pool)
    {
        CheckPredicts();
        return new Sensitivity(_source, Chunks(text, chunks), pool);
    }

    /// <summary>Measures what every matrix reads while the model reads a text.</summary>
    /// <param name="context">Tokens a chunk, no more than the model's own context.</param>
    /// <param name="withHead">Whether the matrix that makes the logits counts too.</param>
    /// <param name="progress">Told the layers that are done.</param>
    /// <returns>Of every matrix that the text reached, by its GGUF name.</returns>
    /// <exception cref="UnusableInputException">The model has no tokenizer, or the text is too short, or weights are no finite numbers.</exception>
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
        foreach (SourceTensor tensor in Tensors)
            if (probe.Of(ModuleOf(tensor), tensor.Experts) is { } importance)
                found.Add(tensor.Info.Name, AllFinite(tensor, importance));
        return new ImportanceMatrix(found, [dataset], (uint)texts.Length, (uint)texts[0].Length);
    }

    /// <summary>Refuses sums that no quantizer could use, rather than write them into a file.</summary>
    private ColumnImportance AllFinite(SourceTensor tensor, ColumnImportance importance) => Array.TrueForAll(importance.Sums, float.IsFinite) ? importance
        : throw new UnusableInputException($"{Path}: what '{tensor.Info.Name}' reads holds numbers that are not finite; the model's weights are damaged, repair or download it again");

    /// <summary>The linear layer that reads with a tensor; the embedding is the head where the two are one.</summary>
    private string ModuleOf(SourceTensor tensor) =>
        _source.Config.TiedHead && tensor.Matrices[0].Module == "token_embd" ? "output" : tensor.Matrices[0].Module;

    /// <summary>Chunks of a text, taken evenly from it.</summary>
    /// <param name="wanted">Tokens a chunk, where these can be asked for.</param>
    private int[][] Chunks(string text, int chunks, int? wanted = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(chunks, 1);
        int context = Math.Min(wanted ?? CalibrationContext, _source.Config.ContextLength);
        var cut = EvaluationText.Of(text, Tokenizer.Of(_source), context, name: TextName, mayShorten: wanted is not null);
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
    private IReadOnlyList<string> Describe()
    {
        string folder = System.IO.Path.TrimEndingDirectorySeparator(System.IO.Path.GetFullPath(Folder));
        Metadata!.Set("general.name", System.IO.Path.GetFileName(folder));
        if (!File.Exists(System.IO.Path.Combine(folder, "tokenizer.json")))
            return [$"{Path}: has no tokenizer.json, so the file will have no tokenizer and cannot read text; save it with transformers' save_pretrained"];
        return Tokenizer.FromFolder(folder).WriteTo(Metadata, _source.Config.Vocabulary);
    }

    public void Dispose() => _source.Dispose();
}
