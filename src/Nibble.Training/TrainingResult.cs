using System.Text.Json;
using System.Text.Json.Serialization;
using Nibble.Quantization.Reports;

namespace Nibble.Training;

/// <summary>What a run printed with <c>--json</c>.</summary>
/// <param name="Tokens">Read in training, those of repeated readings included.</param>
/// <param name="TrainSeconds">Over all resumptions.</param>
/// <param name="Seconds">Of this process.</param>
/// <param name="HeldOutBefore">Loss on the held-out text before training, when the weights were only rounded.</param>
/// <param name="HeldOut">Loss on it with the weights that were written.</param>
/// <param name="Bytes">Of the matrices in their formats.</param>
/// <param name="InputBounds">The learned bounds of inputs, by the layer that reads them.</param>
internal sealed record TrainingResult(
    string Output, string Format, string Stopped, long Steps, long Tokens, double TrainSeconds, double Seconds,
    double HeldOutBefore, double HeldOut, long BestStep, long Bytes, long PeakMemoryBytes,
    IReadOnlyDictionary<string, float> InputBounds, IReadOnlyList<TrainedTensorResult> Tensors, IReadOnlyList<LossPoint> Curve);

internal sealed record TrainedTensorResult(string Name, string Format);

/// <summary>Serialized without reflection; names are snake_case.</summary>
[JsonSerializable(typeof(TrainingResult))]
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals)]
internal sealed partial class ResultJson : JsonSerializerContext;
