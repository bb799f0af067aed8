using Nibble.Core.Memory;
using Nibble.Files;
using Nibble.Files.Safetensors;
using Nibble.Tests.Files;
using Nibble.Tests.Hostile;

namespace Nibble.Tests.Packed;

/// <summary>Bytes computed by hand: what each layout means, word by word. And what is wrong with others, in one line.</summary>
public sealed class HandMadeBytesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public void Gptq_holds_inputs_from_the_lowest_bits_of_a_word_on()
    {
        // Inputs 0 to 7 have codes 0 to 7 in output 0 and 15 to 8 in the seven others; zero points 3 and 5, less one.
        Write("gptq", ("a.qweight", "I32", [1, 8], Words(0x76543210, 0x89ABCDEF, 0x89ABCDEF, 0x89ABCDEF, 0x89ABCDEF, 0x89ABCDEF, 0x89ABCDEF, 0x89ABCDEF)),
            ("a.qzeros", "I32", [1, 1], Words(0x44444442)), ("a.scales", "F16", [1, 8], Halves(0.5f, 2, 2, 2, 2, 2, 2, 2)));
        Assert.Equal([-1.5f, -1, -0.5f, 0, 0.5f, 1, 1.5f, 2], Row("a.weight", 0));
        Assert.Equal([20, 18, 16, 14, 12, 10, 8, 6], Row("a.weight", 7));
    }

    [Fact]
    public void Gptq_version_2_holds_zero_points_themselves()
    {
        Write("gptq\", \"checkpoint_format\": \"gptq_v2", ("a.qweight", "I32", [1, 8], Words(0x76543210, 0, 0, 0, 0, 0, 0, 0)),
            ("a.qzeros", "I32", [1, 1], Words(0x44444442)), ("a.scales", "F16", [1, 8], Halves(0.5f, 2, 2, 2, 2, 2, 2, 2)));
        Assert.Equal([-1, -0.5f, 0, 0.5f, 1, 1.5f, 2, 2.5f], Row("a.weight", 0));
        Assert.Equal([-8, -8, -8, -8, -8, -8, -8, -8], Row("a.weight", 1));
    }

    [Fact]
    public void Gptq_at_3_bits_crosses_words()
    {
        // 0, 1, ..., 7 four times: 0o76543210 = 0xFAC688, whose three bytes repeat over three words; zero points 1 + 0 = 1 and 1 + 3 = 4.
        uint[] column = [0x88FAC688, 0xC688FAC6, 0xFAC688FA];
        Write("gptq", ("a.qweight", "I32", [3, 32], Words([.. column.SelectMany(w => Enumerable.Repeat(w, 32))])),
            ("a.qzeros", "I32", [1, 3], Words(0b011_000, 0, 0)), ("a.scales", "F16", [1, 32], Halves([.. Enumerable.Repeat(1f, 32)])));
        float[] repeated = [-1, 0, 1, 2, 3, 4, 5, 6];
        Assert.Equal([.. repeated, .. repeated, .. repeated, .. repeated], Row("a.weight", 0));
        Assert.Equal(-4, Row("a.weight", 1)[0]);
    }

    [Fact]
    public void Awq_holds_outputs_in_the_order_0_2_4_6_1_3_5_7()
    {
        // At input 0 the outputs have codes 0 to 7, at input 1 all have 15; output 3 has zero point 9, the others 1.
        Write("awq", ("a.qweight", "I32", [2, 1], Words(0x75316420, 0xFFFFFFFF)), ("a.qzeros", "I32", [1, 1], Words(0x11911111)),
            ("a.scales", "F16", [1, 8], Halves(1, 1, 1, 2, 1, 1, 1, 1)));
        Assert.Equal([-1f, 0, 1, -12, 3, 4, 5, 6], Enumerable.Range(0, 8).Select(r => Row("a.weight", r)[0]));
        Assert.Equal([14f, 14, 14, 12, 14, 14, 14, 14], Enumerable.Range(0, 8).Select(r => Row("a.weight", r)[1]));
    }

    [Theory]
    [InlineData(0xFAC688u | 0x88u << 24, 0xFAC6u, 2)] // dense: codes 0 to 7, 0 to 7 in 48 bits; ten would end in 30
    public void Compressed_tensors_at_3_bits_dense(uint first, uint second, int words)
    {
        float[] expected = [.. Enumerable.Range(0, 16).Select(i => 2f * (i % 8 - 4)), .. Enumerable.Repeat(-8f, 16)];
        Write("""compressed-tensors", "config_groups": {"g": {"weights": {"num_bits": 3}}}, "format": "pack-quantized""",
            ("a.weight_packed", "I32", [1, words + 1], Words(first, second, 0)), ("a.weight_scale", "BF16", [1, 1], [0x00, 0x40]),
            ("a.weight_shape", "I64", [2], Longs(1, 32)));
        Assert.Equal(expected, Row("a.weight", 0));
    }

    [Fact]
    public void Compressed_tensors_at_3_bits_ten_to_a_word()
    {
        // The same codes: 0 to 7, 0 and 1 in thirty bits of the first word; 2 to 7 in the second.
        float[] expected = [.. Enumerable.Range(0, 16).Select(i => 2f * (i % 8 - 4)), .. Enumerable.Repeat(-8f, 16)];
        Write("""compressed-tensors", "config_groups": {"g": {"weights": {"num_bits": 3}}}, "format": "pack-quantized""",
            ("a.weight_packed", "I32", [1, 4], Words(0xFAC688 | 0b001_000 << 24, 0xFAC688 >> 6, 0, 0)), ("a.weight_scale", "BF16", [1, 1], [0x00, 0x40]),
            ("a.weight_shape", "I64", [2], Longs(1, 32)));
        Assert.Equal(expected, Row("a.weight", 0));
    }

    [Fact]
    public void Compressed_tensors_pack_zero_points_down_the_columns()
    {
        // Two rows of eight 4-bit codes, all 8 (signed 0); zero points 3 and 12 (signed -5 and 4).
        Write("""compressed-tensors", "config_groups": {"g": {"weights": {"num_bits": 4}}}, "format": "pack-quantized""",
            ("a.weight_packed", "I32", [2, 1], Words(0x88888888, 0x88888888)), ("a.weight_scale", "F32", [2, 1], Floats(1, 0.5f)),
            ("a.weight_zero_point", "I32", [1, 1], Words(0xC3)), ("a.weight_shape", "I64", [2], Longs(2, 8)));
        Assert.Equal([5, 5, 5, 5, 5, 5, 5, 5], Row("a.weight", 0));
        Assert.Equal([-2, -2, -2, -2, -2, -2, -2, -2], Row("a.weight", 1));
    }

    [Fact]
    public void Eight_bit_floats_are_multiplied_by_their_inverse_scale()
    {
        // 0x38 is 1, 0x40 is 2, 0xC4 is -3, 0x7E is 448.
        Write("fp8", ("a.weight", "F8_E4M3", [1, 4], [0x38, 0x40, 0xC4, 0x7E]), ("a.weight_scale_inv", "F32", [1], Floats(0.25f)));
        Assert.Equal([0.25f, 0.5f, -0.75f, 112], Row("a.weight", 0));
    }

    [Fact]
    public void A_group_larger_than_any_row_is_the_row()
    {
        Write("gptq\", \"group_size\": 2147483647, \"desc\": \"x", ("a.qweight", "I32", [1, 8], Words(0x76543210, 0, 0, 0, 0, 0, 0, 0)),
            ("a.qzeros", "I32", [1, 1], Words(0x44444442)), ("a.scales", "F16", [1, 8], Halves(0.5f, 2, 2, 2, 2, 2, 2, 2)));
        Assert.Equal([-1.5f, -1, -0.5f, 0, 0.5f, 1, 1.5f, 2], Row("a.weight", 0));
    }

    [Fact]
    public void A_block_larger_than_any_matrix_has_scales_all_the_same()
    {
        Write("fp8\", \"weight_block_size\": [2147483647, 4], \"desc\": \"x", ("a.weight", "F8_E4M3", [4, 8], new byte[32]), ("a.weight_scale_inv", "F32", [0, 2], []));
        Assert.Contains("tensor 'a.weight_scale_inv' is [0, 2], but must be", Attack.Refused(_folder.Path), StringComparison.Ordinal);
    }

    /// <summary>One column: a scale for each weight would be half a byte of codes.</summary>
    [Fact]
    public void Nf4_in_rows_that_cut_bytes_is_refused()
    {
        float[] levels = [
            -1, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f, -0.18477343022823334f, -0.09105003625154495f, 0,
            0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f, 0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1];
        byte[] state = System.Text.Encoding.UTF8.GetBytes("""{"quant_type": "nf4", "blocksize": 64, "shape": [6, 1]}""");
        Write("bitsandbytes", ("a.weight", "U8", [3, 1], [0x0F, 0x0F, 0x0F]), ("a.weight.absmax", "F32", [1], Floats(1)),
            ("a.weight.quant_map", "F32", [16], Floats(levels)), ("a.weight.quant_state.bitsandbytes__nf4", "U8", [state.Length], state));
        Assert.Contains("tensor 'a.weight' holds two codes a byte", Attack.Refused(_folder.Path), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("hqq", "key 'quantization_config.quant_method' is 'hqq', a layout that is not known; known are gptq, awq, compressed-tensors")]
    [InlineData("gptq\", \"checkpoint_format\": \"marlin", "key 'quantization_config.checkpoint_format' is 'marlin'")]
    [InlineData("gptq", "has 'a.qweight', but not 'a.scales'")]
    [InlineData("awq\", \"version\": \"gemv", "key 'quantization_config.version' is 'gemv'; only gemm is known")]
    [InlineData("awq", "has 'a.qweight', but not 'a.scales'")]
    public void What_is_not_known_is_refused_by_name(string method, string message)
    {
        Write(method, ("a.qweight", "I32", [1, 8], new byte[32]));
        Assert.Contains(message, Attack.Refused(_folder.Path), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("a.qzeros", "I32", new long[] { 1, 3 }, "tensor 'a.qzeros' has 3 words for 8 outputs; 2, 3, 4 and 8 bits are known", 12)]
    [InlineData("a.qzeros", "F32", new long[] { 1, 1 }, "tensor 'a.qzeros' is F32 [1, 1], but must be I32 [1, any]", 4)]
    [InlineData("a.scales", "I32", new long[] { 1, 8 }, "tensor 'a.scales' is I32 [1, 8], but must be F16 BF16 F32 [any, 8]", 32)]
    [InlineData("a.g_idx", "I32", new long[] { 8 }, "tensor 'a.g_idx' gives column 0 the group 16843009, but there are 1", 32)]
    public void Parts_that_do_not_fit_are_refused(string name, string type, long[] shape, string message, int bytes)
    {
        var parts = new Dictionary<string, (string Name, string Type, long[] Shape, byte[] Bytes)>
        {
            ["a.qweight"] = ("a.qweight", "I32", [1, 8], new byte[32]),
            ["a.qzeros"] = ("a.qzeros", "I32", [1, 1], new byte[4]),
            ["a.scales"] = ("a.scales", "F16", [1, 8], new byte[16]),
        };
        parts[name] = (name, type, shape, [.. Enumerable.Repeat((byte)1, bytes)]);
        Write("gptq", [.. parts.Values]);
        Assert.Contains(message, Attack.Refused(_folder.Path), StringComparison.Ordinal);
    }

    public void Dispose() => _folder.Dispose();

    private void Write(string method, params (string Name, string Type, long[] Shape, byte[] Bytes)[] tensors)
    {
        File.WriteAllText(_folder.PathOf("config.json"), $$"""{"quantization_config": { "quant_method": "{{method}}" } }""");
        using var writer = new SafetensorsWriter(_folder.PathOf("model.safetensors"), [.. tensors.Select(t => new TensorInfo(t.Name, t.Type, null, t.Shape, t.Bytes.Length))]);
        foreach ((string _, string _, long[] _, byte[] bytes) in tensors) writer.Write(bytes);
        writer.Commit();
    }

    private float[] Row(string tensor, int row)
    {
        using TensorFile file = TensorFile.Open(_folder.Path);
        Weight weight = file.Load(file.Get(tensor));
        var numbers = new float[weight.Columns];
        weight.ReadRow(row, numbers);
        return numbers;
    }

    private static byte[] Words(params uint[] words) => [.. words.SelectMany(BitConverter.GetBytes)];

    private static byte[] Longs(params long[] numbers) => [.. numbers.SelectMany(BitConverter.GetBytes)];

    private static byte[] Floats(params float[] numbers) => [.. numbers.SelectMany(BitConverter.GetBytes)];

    private static byte[] Halves(params float[] numbers) => [.. numbers.SelectMany(n => BitConverter.GetBytes((Half)n))];
}
