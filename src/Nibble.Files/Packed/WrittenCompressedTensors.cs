using System.Text.Json;
using Nibble.Core.Formats;

namespace Nibble.Files.Packed;

/// <summary>What <see cref="CompressedTensorsLayout"/> reads, packed and dense.</summary>
internal sealed class WrittenCompressedTensors : WrittenLinear
{
    public override string Name => "compressed-tensors";

    private protected override IReadOnlyList<int> Bits => [2, 3, 4, 5, 6, 7, 8];

    private protected override IEnumerable<(string Name, string Type, long[] Shape)> Describe(string module, LinearFormat format, long rows, long columns, long groups)
    {
        yield return ($"{module}.weight_packed", "I32", [rows, (columns * format.Bits + 31) / 32]);
        yield return ($"{module}.weight_scale", LinearMatrix.TypeOf(format).Name, [rows, groups]);
        if (format.Kind != LinearKind.Symmetric) yield return ($"{module}.weight_zero_point", "I32", [(rows * format.Bits + 31) / 32, groups]);
        yield return ($"{module}.weight_shape", "I64", [2]);
    }

    private protected override IEnumerable<byte[]> Pack(LinearMatrix m)
    {
        yield return Bytes<uint>([.. Enumerable.Range(0, m.Rows).SelectMany(row => LinearMatrix.Words(m.Codes(row), m.Bits))]);
        yield return m.Scales(byGroup: false);
        if (!m.IsSymmetric)
            yield return Down(m.Groups, (m.Rows * m.Bits + 31) / 32, g => LinearMatrix.Words([.. Enumerable.Range(0, m.Rows).Select(row => m.Zero(row, g))], m.Bits));
        yield return Bytes<long>([m.Rows, m.Columns]);
    }

    private protected override void WriteConfig(Utf8JsonWriter json, LinearFormat format)
    {
        int size = GroupSize(format);
        json.WriteString("format", "pack-quantized");
        json.WriteString("quantization_status", "compressed");
        json.WriteStartObject("config_groups");
        json.WriteStartObject("group_0");
        json.WriteStartArray("targets");
        json.WriteStringValue("Linear");
        json.WriteEndArray();
        json.WriteStartObject("weights");
        json.WriteNumber("num_bits", format.Bits);
        json.WriteString("type", "int");
        json.WriteBoolean("symmetric", format.Kind == LinearKind.Symmetric);
        json.WriteBoolean("dynamic", false);
        json.WriteString("strategy", size > 0 ? "group" : "channel");
        if (size > 0) json.WriteNumber("group_size", size);
        else json.WriteNull("group_size");
        json.WriteEndObject();
        json.WriteNull("input_activations");
        json.WriteNull("output_activations");
        json.WriteEndObject();
        json.WriteEndObject();
        json.WriteStartArray("ignore");
        json.WriteStringValue("lm_head");
        json.WriteEndArray();
    }
}
