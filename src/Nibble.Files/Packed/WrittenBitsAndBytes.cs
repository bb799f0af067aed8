using System.Text;
using System.Text.Json;
using Nibble.Core.Formats;
using Nibble.Core.Memory;

namespace Nibble.Files.Packed;

/// <summary>What <see cref="BitsAndBytesLayout"/> reads: NF4 with scales in F32.</summary>
internal sealed class WrittenBitsAndBytes : WrittenLayout
{
    private const string State = ".weight.quant_state.bitsandbytes__nf4";

    /// <summary>The blocks that bitsandbytes has kernels for.</summary>
    private static readonly int[] s_blocks = [64, 128, 256, 512, 1024, 2048, 4096];

    public override string Name => "bitsandbytes";
    public override string Example => "NF4";

    public override string? Refusal(Format format) => format is TableFormat { TableName: "NF4", Granularity.Reach: Reach.Group, Scale: ScaleType.F32 or ScaleType.F16 or ScaleType.BF16 } nf4
        && s_blocks.Contains(nf4.Granularity.Size) ? null : $"holds NF4 in groups of {string.Join(", ", s_blocks)}, with scales in F16, BF16 or F32";

    private protected override IEnumerable<(string Name, string Type, long[] Shape)> Describe(string module, Format format, long rows, long columns) =>
    [
        ($"{module}.weight", "U8", [rows * columns / 2, 1]),
        ($"{module}.weight.absmax", "F32", [rows * columns / format.BlockSize]),
        ($"{module}.weight.quant_map", "F32", [format.CodeCount]),
        (module + State, "U8", [StateOf(rows, columns, format.BlockSize).Length]),
    ];

    internal override IEnumerable<byte[]> Pack(Weight weight)
    {
        var matrix = new TableMatrix(weight);
        // The earlier of two codes moves from the low half to the high.
        foreach (ref byte pair in matrix.Codes.AsSpan()) pair = (byte)(pair >> 4 | pair << 4);
        yield return matrix.Codes;
        yield return Bytes(matrix.Scales);
        yield return Bytes(weight.Format.LevelTable(0).ToArray());
        yield return StateOf(weight.Rows, weight.Columns, weight.Format.BlockSize);
    }

    /// <summary>The JSON that says what the matrix was.</summary>
    private static byte[] StateOf(long rows, long columns, int block) => Encoding.UTF8.GetBytes(
        $$"""{"quant_type": "nf4", "blocksize": {{block}}, "dtype": "bfloat16", "shape": [{{rows}}, {{columns}}]}""");

    internal override void WriteConfig(Utf8JsonWriter json, Format format)
    {
        json.WriteBoolean("load_in_4bit", true);
        json.WriteBoolean("load_in_8bit", false);
        json.WriteString("bnb_4bit_quant_type", "nf4");
        json.WriteBoolean("bnb_4bit_use_double_quant", false);
        json.WriteString("bnb_4bit_compute_dtype", "bfloat16");
        json.WriteString("bnb_4bit_quant_storage", "uint8");
        json.WriteStartArray("llm_int8_skip_modules");
        json.WriteStringValue("lm_head");
        json.WriteEndArray();
    }
}
