using System.Text.Json.Serialization;
using Nibble.Cli.Commands;

namespace Nibble.Cli;

/// <summary>The results of <c>--json</c>, serialized without reflection; names are snake_case.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(FormatsResult))]
[JsonSerializable(typeof(DoctorResult))]
internal sealed partial class ResultJson : JsonSerializerContext;
