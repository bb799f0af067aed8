using System.Numerics;
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
    /// <summary>
    /// Names in snake_case; text stays readable, for nothing here is put into a web page; a number that is none, or infinite,
    /// as a broken model's perplexity may be, is null.
    /// </summary>
    public static ResultJson Written { get; } = new(new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        Converters = { new FiniteOrNull<double>(), new FiniteOrNull<float>() },
    });

    /// <summary>JSON knows finite numbers only.</summary>
    private sealed class FiniteOrNull<T> : JsonConverter<T> where T : struct, IFloatingPointIeee754<T>
    {
        public override void Write(Utf8JsonWriter writer, T value, JsonSerializerOptions options)
        {
            if (!T.IsFinite(value)) writer.WriteNullValue();
            else if (value is float single) writer.WriteNumberValue(single);
            else writer.WriteNumberValue(double.CreateChecked(value));
        }

        public override T Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => throw new NotSupportedException();
    }
}
