using System.Text;

namespace Nibble.Tests.Packed;

/// <summary>Whole checkpoints packed by hand in the published layouts hold the numbers that the layouts mean, and run.</summary>
public sealed class PackedLayoutTests
{
    [Theory]
    [InlineData(4, 32, true, true, "Linear4-sym-g32")]
    [InlineData(4, 32, false, true, "Linear4-g32")]
    [InlineData(4, 32, false, false, "Linear4-g32")]
    [InlineData(3, 32, false, true, "Linear3-g32")]
    [InlineData(2, 16, false, false, "Linear2-g16")]
    [InlineData(8, 64, false, true, "Linear8")]
    [InlineData(8, 64, true, true, "Linear8-sym")]
    public void Gptq(int bits, int group, bool symmetric, bool version1, string format)
    {
        using var checkpoint = new PackedCheckpoint("llama");
        foreach (string module in checkpoint.Modules) PutGptq(checkpoint, module, bits, group, symmetric, version1, shuffle: false);
        string name = version1 ? "gptq" : "gptq_v2";
        checkpoint.Write($$"""{"quant_method": "gptq", "bits": {{bits}}, "group_size": {{group}}, "desc_act": false, "sym": {{(symmetric ? "true" : "false")}}, "checkpoint_format": "{{name}}"}""");
        Assert.Contains(format, checkpoint.AssertEqual());
    }

    [Fact]
    public void Gptq_with_act_order_takes_its_input_in_that_order()
    {
        using var checkpoint = new PackedCheckpoint("qwen2");
        foreach (string module in checkpoint.Modules) PutGptq(checkpoint, module, 4, 16, symmetric: false, version1: true, shuffle: true);
        checkpoint.Write("""{"quant_method": "gptq", "bits": 4, "group_size": 16, "desc_act": true}""");
        Assert.Equal(["Linear4-g16"], checkpoint.AssertEqual());
    }

    [Fact]
    public void Gptq_whose_group_is_the_row()
    {
        using var checkpoint = new PackedCheckpoint("llama");
        foreach (string module in checkpoint.Modules) PutGptq(checkpoint, module, 4, 0, symmetric: false, version1: true, shuffle: false);
        checkpoint.Write("""{"quant_method": "gptq", "bits": 4, "group_size": -1, "desc_act": false}""");
        Assert.Equal(["Linear4-row", "F32"], checkpoint.AssertEqual());
    }

    [Fact]
    public void Awq()
    {
        using var checkpoint = new PackedCheckpoint("qwen2");
        foreach (string module in checkpoint.Modules)
        {
            RoundedMatrix m = Take(checkpoint, module, 4, 32, symmetric: false);
            checkpoint.Put($"{module}.qweight", "I32", [m.Columns, m.Rows / 8], HandPacked.Along(m.Columns, m.Rows, (c, r) => m.Codes[r * m.Columns + c], HandPacked.Awq));
            checkpoint.Put($"{module}.qzeros", "I32", [m.Groups, m.Rows / 8], HandPacked.Along(m.Groups, m.Rows, (g, r) => m.Zeros[r * m.Groups + g], HandPacked.Awq));
            checkpoint.Put($"{module}.scales", "F16", [m.Groups, m.Rows], Turned(m.Scales, m.Rows));
        }
        checkpoint.Write("""{"quant_method": "awq", "bits": 4, "group_size": 32, "zero_point": true, "version": "gemm"}""");
        Assert.Equal(["Linear4-g32"], checkpoint.AssertEqual());
    }

    [Theory]
    [InlineData(4, 32, true, true, "Linear4-sym-g32")]
    [InlineData(4, 32, false, true, "Linear4-g32")]
    [InlineData(8, 64, true, true, "Linear8-sym")]
    [InlineData(3, 32, false, true, "Linear3-g32")]
    [InlineData(3, 32, false, false, "Linear3-g32")]
    [InlineData(5, 32, true, false, "Linear5-sym-g32")]
    public void Compressed_tensors_in_words(int bits, int group, bool symmetric, bool dense, string format)
    {
        using var checkpoint = new PackedCheckpoint("llama");
        Func<int[], int[]> pack = codes => dense ? HandPacked.Dense(codes, bits) : HandPacked.Padded(codes, bits);
        foreach (string module in checkpoint.Modules)
        {
            RoundedMatrix m = Take(checkpoint, module, bits, group, symmetric);
            int[] words = HandPacked.Along(m.Rows, m.Columns, (r, c) => m.Codes[r * m.Columns + c], pack);
            checkpoint.Put($"{module}.weight_packed", "I32", [m.Rows, words.Length / m.Rows], words);
            checkpoint.Put($"{module}.weight_scale", "F16", [m.Rows, m.Groups], m.Scales);
            checkpoint.Put<long>($"{module}.weight_shape", "I64", [2], [m.Rows, m.Columns]);
            if (symmetric) continue;
            int[] zeros = HandPacked.Down(m.Rows, m.Groups, (r, g) => m.Zeros[r * m.Groups + g], pack);
            checkpoint.Put($"{module}.weight_zero_point", "I32", [zeros.Length / m.Groups, m.Groups], zeros);
        }
        checkpoint.Write(CompressedTensors("pack-quantized", $"\"num_bits\": {bits}, \"group_size\": {group}, \"strategy\": \"group\", \"type\": \"int\""));
        Assert.Contains(format, checkpoint.AssertEqual());
    }

    [Fact]
    public void Compressed_tensors_in_signed_bytes()
    {
        using var checkpoint = new PackedCheckpoint("llama");
        foreach (string module in checkpoint.Modules)
        {
            RoundedMatrix m = Take(checkpoint, module, 8, 0, symmetric: true);
            checkpoint.Put($"{module}.weight", "I8", [m.Rows, m.Columns], [.. m.Codes.Select(c => (sbyte)(c - 128))]);
            checkpoint.Put($"{module}.weight_scale", "F16", [m.Rows, 1], m.Scales);
        }
        checkpoint.Write(CompressedTensors("int-quantized", "\"num_bits\": 8, \"strategy\": \"channel\", \"type\": \"int\""));
        Assert.Equal(["Linear8-sym-row", "F32"], checkpoint.AssertEqual());
    }

    [Theory]
    [InlineData("float-quantized", "compressed-tensors", "weight_scale", 0, "F8_E4M3-row-f32")]
    [InlineData("", "fp8", "weight_scale", 1, "F8_E4M3-row-f32")]
    [InlineData("", "fp8", "weight_scale_inv", 2, "F8_E4M3-g32-f32")]
    public void Eight_bit_floats(string format, string method, string scaleName, int reach, string ours)
    {
        using var checkpoint = new PackedCheckpoint("llama");
        foreach (string module in checkpoint.Modules)
        {
            (float[] floats, long[] shape) = checkpoint.Floats($"{module}.weight");
            (int rows, int columns) = ((int)shape[0], (int)shape[1]);
            // A scale for each row, for the matrix, or for blocks of 48 by 32 (which do not divide the rows).
            (int blockRows, int blockColumns) = reach switch { 0 => (1, columns), 1 => (rows, columns), _ => (48, 32) };
            (int down, int across) = ((rows + blockRows - 1) / blockRows, columns / blockColumns);
            float[] scales = [.. Enumerable.Range(0, down * across).Select(i => 0.001f * (1 + i % 7))];
            var codes = new byte[floats.Length];
            for (int i = 0; i < floats.Length; i++)
            {
                float scale = scales[i / columns / blockRows * across + i % columns / blockColumns];
                codes[i] = E4M3(floats[i] / scale);
                floats[i] = E4M3(codes[i]) * scale;
            }
            checkpoint.Put($"{module}.weight", "F8_E4M3", shape, codes);
            checkpoint.Put($"{module}.{scaleName}", "F32", reach switch { 0 => [rows, 1], 1 => [1], _ => [down, across] }, scales);
            checkpoint.PutFloats($"{module}.weight", floats);
        }
        checkpoint.Write(method == "fp8" ? """{"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [48, 32]}"""
            : CompressedTensors(format, "\"num_bits\": 8, \"strategy\": \"channel\", \"type\": \"float\""));
        Assert.Equal([ours, "F32"], checkpoint.AssertEqual(1e-5));
    }

    [Theory]
    [InlineData(64, true, "NF4-f32")]
    [InlineData(64, false, "NF4-f32")]
    [InlineData(32, true, "NF4-g32-f32")]
    public void Bitsandbytes_nf4(int block, bool nested, string format)
    {
        using var checkpoint = new PackedCheckpoint("llama");
        foreach (string module in checkpoint.Modules) PutNf4(checkpoint, module, block, nested);
        checkpoint.Write("""{"quant_method": "bitsandbytes", "load_in_4bit": true, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": true}""");
        Assert.Contains(format, checkpoint.AssertEqual(1e-5));
    }

    [Fact]
    public void Bitsandbytes_in_signed_bytes()
    {
        using var checkpoint = new PackedCheckpoint("llama");
        foreach (string module in checkpoint.Modules)
        {
            (float[] floats, long[] shape) = checkpoint.Floats($"{module}.weight");
            int columns = (int)shape[1];
            float[] largest = [.. floats.Chunk(columns).Select(row => row.Max(Math.Abs))];
            sbyte[] codes = [.. floats.Select((w, i) => (sbyte)MathF.Round(w * 127 / largest[i / columns]))];
            checkpoint.Put($"{module}.weight", "I8", shape, codes);
            checkpoint.Put($"{module}.SCB", "F32", [shape[0]], largest);
            checkpoint.PutFloats($"{module}.weight", [.. codes.Select((q, i) => largest[i / columns] / 127 * q)]);
        }
        checkpoint.Write("""{"quant_method": "bitsandbytes", "load_in_8bit": true}""");
        Assert.Equal(["Linear8-sym-row-f32", "F32"], checkpoint.AssertEqual());
    }

    private static void PutGptq(PackedCheckpoint checkpoint, string module, int bits, int group, bool symmetric, bool version1, bool shuffle)
    {
        RoundedMatrix m = Take(checkpoint, module, bits, group, symmetric, shuffle);
        int mask = (1 << bits) - 1;
        checkpoint.Put($"{module}.qweight", "I32", [m.Columns * bits / 32, m.Rows],
            HandPacked.Down(m.Columns, m.Rows, (c, r) => m.Codes[r * m.Columns + c], codes => HandPacked.Dense(codes, bits)));
        checkpoint.Put($"{module}.qzeros", "I32", [m.Groups, m.Rows * bits / 32],
            HandPacked.Along(m.Groups, m.Rows, (g, r) => (m.Zeros[r * m.Groups + g] - (version1 ? 1 : 0)) & mask, codes => HandPacked.Dense(codes, bits)));
        checkpoint.Put($"{module}.scales", "F16", [m.Groups, m.Rows], Turned(m.Scales, m.Rows));
        checkpoint.Put($"{module}.g_idx", "I32", [m.Columns], m.GroupOf);
    }

    /// <summary>Rounds a module's weight, takes it out of the packed checkpoint and says what it is in floats.</summary>
    /// <param name="group">0 for the row.</param>
    private static RoundedMatrix Take(PackedCheckpoint checkpoint, string module, int bits, int group, bool symmetric, bool shuffle = false)
    {
        (float[] floats, long[] shape) = checkpoint.Floats($"{module}.weight");
        var matrix = RoundedMatrix.Of(floats, (int)shape[1], bits, group == 0 ? (int)shape[1] : group, symmetric, shuffle);
        checkpoint.Remove($"{module}.weight");
        checkpoint.PutFloats($"{module}.weight", matrix.Weights());
        return matrix;
    }

    /// <summary>[rows, groups] to [groups, rows].</summary>
    private static Half[] Turned(Half[] scales, int rows)
    {
        int groups = scales.Length / rows;
        return [.. Enumerable.Range(0, scales.Length).Select(i => scales[i % rows * groups + i / rows])];
    }

    private static void PutNf4(PackedCheckpoint checkpoint, string module, int block, bool nested)
    {
        float[] levels = [-1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f, -0.18477343022823334f,
            -0.09105003625154495f, 0.0f, 0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
            0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f];
        (float[] floats, long[] shape) = checkpoint.Floats($"{module}.weight");
        string name = $"{module}.weight";
        const float Offset = 0.125f;
        float[] scales = [.. floats.Chunk(block).Select(b => b.Max(Math.Abs))], map = [.. Enumerable.Range(0, 256).Select(i => (i - 128) / 128f)];
        float[] nestedScales = [.. scales.Chunk(256).Select(b => b.Max(s => Math.Abs(s - Offset)))];
        byte[] nestedCodes = [.. scales.Select((s, i) => (byte)Array.IndexOf(map, map.MinBy(v => Math.Abs(v * nestedScales[i / 256] + Offset - s))))];
        if (nested) scales = [.. nestedCodes.Select((c, i) => map[c] * nestedScales[i / 256] + Offset)];
        int[] codes = [.. floats.Select((w, i) => Array.IndexOf(levels, levels.MinBy(v => Math.Abs(v * scales[i / block] - w))))];
        checkpoint.Put(name, "U8", [floats.Length / 2, 1], [.. codes.Chunk(2).Select(pair => (byte)(pair[0] << 4 | pair[1]))]);
        checkpoint.Put($"{name}.quant_map", "F32", [16], levels);
        if (nested)
        {
            checkpoint.Put($"{name}.absmax", "U8", [nestedCodes.Length], nestedCodes);
            checkpoint.Put($"{name}.nested_absmax", "F32", [nestedScales.Length], nestedScales);
            checkpoint.Put($"{name}.nested_quant_map", "F32", [256], map);
        }
        else
        {
            checkpoint.Put($"{name}.absmax", "F32", [scales.Length], scales);
        }
        string more = nested ? ", \"nested_blocksize\": 256, \"nested_dtype\": \"float32\", \"nested_offset\": 0.125" : "";
        byte[] state = Encoding.UTF8.GetBytes($"{{\"quant_type\": \"nf4\", \"blocksize\": {block}, \"dtype\": \"float32\", \"shape\": [{shape[0]}, {shape[1]}]{more}}}");
        checkpoint.Put($"{name}.quant_state.bitsandbytes__nf4", "U8", [state.Length], state);
        checkpoint.PutFloats(name, [.. codes.Select((c, i) => levels[c] * scales[i / block])]);
    }

    private static string CompressedTensors(string format, string weights) =>
        $$"""{"quant_method": "compressed-tensors", "format": "{{format}}", "config_groups": {"group_0": {"targets": ["Linear"], "weights": { {{weights}} }, "input_activations": null} }, "ignore": ["lm_head"]}""";

    /// <summary>The E4M3 code nearest to a number, by trying all.</summary>
    private static byte E4M3(float number) => Enumerable.Range(0, 256).Where(c => (c & 0x7F) != 0x7F).Select(c => (byte)c).MinBy(c => Math.Abs(E4M3(c) - number));

    /// <summary>What a code means: sign, 4 bits of exponent biased by 7, 3 of mantissa.</summary>
    private static float E4M3(byte code)
    {
        int exponent = code >> 3 & 15, mantissa = code & 7;
        float magnitude = exponent == 0 ? MathF.ScaleB(mantissa, -9) : MathF.ScaleB(8 + mantissa, exponent - 10);
        return (code & 0x80) == 0 ? magnitude : -magnitude;
    }
}
