using System.Text.Json;
using Nibble.Core.Formats;
using Nibble.Core.Memory;

namespace Nibble.Files.Packed;

/// <summary>What <see cref="Float8Layout"/> reads: E4M3 under F32 scales, each for a group of a row (a block one row high).</summary>
internal sealed class WrittenFloat8 : WrittenLayout
{
    public override string Name => "fp8";
    public override string Example => "F8_E4M3-g128-f32";

    public override string? Refusal(Format format) =>
        format is TableFormat { TableName: "F8_E4M3", Granularity.Reach: Reach.Group, Scale: ScaleType.F32 or ScaleType.F16 or ScaleType.BF16 } ? null
        : "holds F8_E4M3 in groups, with scales in F16, BF16 or F32";

    private protected override IEnumerable<(string Name, string Type, long[] Shape)> Describe(string module, Format format, long rows, long columns) =>
    [
        ($"{module}.weight", "F8_E4M3", [rows, columns]),
        ($"{module}.weight_scale_inv", "F32", [rows, columns / format.BlockSize]),
    ];

    internal override IEnumerable<byte[]> Pack(Weight weight)
    {
        var matrix = new TableMatrix(weight);
        yield return matrix.Codes;
        yield return Bytes(matrix.Scales);
    }

    internal override void WriteConfig(Utf8JsonWriter json, Format format)
    {
        json.WriteString("activation_scheme", "dynamic");
        json.WriteString("fmt", "e4m3");
        json.WriteStartArray("weight_block_size");
        json.WriteNumberValue(1);
        json.WriteNumberValue(format.BlockSize);
        json.WriteEndArray();
        json.WriteStartArray("modules_to_not_convert");
        json.WriteStringValue("lm_head");
        json.WriteEndArray();
    }
}
