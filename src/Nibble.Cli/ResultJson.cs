using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Nibble.Cli.Commands;

namespace Nibble.Cli;

/// <summary>The results of <c>--json</c>, serialized without reflection; names are snake_case.</summary>
[JsonSerializable(typeof(FormatsResult))]
[JsonSerializable(typeof(DoctorResult))]
[JsonSerializable(typeof(QuantizeResult))]
[JsonSerializable(typeof(ImportanceResult))]
[JsonSerializable(typeof(RunResult))]
[JsonSerializable(typeof(EvalResult))]
[JsonSerializable(typeof(CompareResult))]
[JsonSerializable(typeof(BenchResult))]
[JsonSerializable(typeof(ReportResult))]
[JsonSerializable(typeof(InspectResult))]
[JsonSerializable(typeof(LogitsResult))]
[JsonSerializable(typeof(SplitResult))]
[JsonSerializable(typeof(MergeResult))]
internal sealed partial class ResultJson : JsonSerializerContext
{
    /// <summary>Names in snake_case; text stays readable, for nothing here is put into a web page.</summary>
    public static ResultJson Written { get; } = new(new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });
}
