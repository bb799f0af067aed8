using Nibble.Quantization.Evaluation;

namespace Nibble.Quantization.Reports;

/// <summary>All that a report shows.</summary>
/// <param name="Text">What was measured with: the file's name.</param>
/// <param name="Context">Tokens a chunk.</param>
/// <param name="Chunks">How many were scored.</param>
/// <param name="Tokens">Scored tokens.</param>
/// <param name="LayerTokens">Tokens that the errors of layers were measured with.</param>
/// <param name="Models">The reference first, where there is one.</param>
public sealed record Report(string Text, int Context, int Chunks, long Tokens, int LayerTokens, IReadOnlyList<ReportModel> Models)
{
    /// <summary>The model that the others were made from, or null.</summary>
    public ReportModel? Reference => Models.FirstOrDefault(m => m.IsReference);

    /// <summary>Those that were compared with the reference.</summary>
    public IEnumerable<ReportModel> Compared => Models.Where(m => m.Errors is not null);

    /// <summary>The version of the program that made it.</summary>
    public string Version { get; init; } = "";

    /// <summary>What others reached on the same model and text, or null.</summary>
    public OtherResults? Beside { get; init; }
}

/// <summary>A model of a report.</summary>
/// <param name="Name">Its file's or folder's name.</param>
/// <param name="IsReference">The others are compared with it.</param>
/// <param name="Formats">What its matrices are stored as, that with the most weights first.</param>
/// <param name="Bytes">Of all weights.</param>
/// <param name="BitsPerWeight">Of all weights, scales and tables counted.</param>
/// <param name="Perplexity">On the report's text.</param>
/// <param name="Divergence">From the reference; null of the reference itself, and where there is none.</param>
/// <param name="Errors">Against the reference; null as above.</param>
public sealed record ReportModel(
    string Name, bool IsReference, IReadOnlyList<string> Formats, long Bytes, double BitsPerWeight, Perplexity Perplexity, Divergence? Divergence,
    ModelErrors? Errors)
{
    /// <summary>Of the files of weights, all that a GGUF file holds beside them counted.</summary>
    public long FileBytes { get; init; }

    /// <summary>How its training went; empty where it was not trained here.</summary>
    public IReadOnlyList<LossPoint> Curve { get; init; } = [];

    /// <summary>Of the chosen tensor, against the reference; null as above.</summary>
    public WeightHistogram? Histogram { get; init; }
}

/// <summary>What was lost in a model, and where.</summary>
/// <param name="Layers">The embedding first.</param>
/// <param name="Tensors">Every matrix.</param>
public sealed record ModelErrors(IReadOnlyList<LayerError> Layers, IReadOnlyList<ReportTensor> Tensors);

/// <summary>What was lost in one tensor.</summary>
/// <param name="Name">The decoder's name.</param>
/// <param name="Format">What it is stored as.</param>
/// <param name="Bytes">Stored.</param>
/// <param name="Weights">Of the weights.</param>
/// <param name="Output">Of its output and its blame; null for what is no linear layer.</param>
public sealed record ReportTensor(string Name, string Format, long Bytes, TensorError Weights, TensorOutputError? Output);
