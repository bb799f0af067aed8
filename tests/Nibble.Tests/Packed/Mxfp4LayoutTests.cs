using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Files;
using Nibble.Models;
using Nibble.Quantization;
using Nibble.Quantization.Recipes;
using Nibble.Tests.Files;

namespace Nibble.Tests.Packed;

/// <summary>gpt-oss as OpenAI publishes it: blocks of two 4-bit floats a byte, and their scales.</summary>
public sealed class Mxfp4LayoutTests
{
    private static readonly float[] Levels = [0, 0.5f, 1, 1.5f, 2, 3, 4, 6, -0f, -0.5f, -1, -1.5f, -2, -3, -4, -6];

    [Fact]
    public void A_published_checkpoint_is_what_its_blocks_mean()
    {
        using PackedCheckpoint checkpoint = Pack();
        Assert.Equal(["F32", "MXFP4"], checkpoint.AssertEqual().Order());
    }

    [Fact]
    public void Hand_made_bytes_are_repacked_without_a_way_through_floats()
    {
        using PackedCheckpoint checkpoint = Pack();
        using TensorFile file = TensorFile.Open(checkpoint.Path);
        TensorInfo tensor = file.Get("model.layers.0.mlp.experts.down_proj");
        Assert.Equal([4, 64, 128], tensor.Shape);
        byte[] block = file.Load(tensor, 0, 1).Row(0)[..17].ToArray();
        // The first block of expert 0: weight k has code k % 16, the scale is 2^-7.
        Assert.Equal([120, .. Enumerable.Range(0, 16).Select(i => (byte)(i | i << 4))], block);
    }

    [Fact]
    public void Quantizing_to_gguf_copies_the_blocks()
    {
        using PackedCheckpoint checkpoint = Pack();
        using var folder = new TemporaryFolder();
        using var pool = new WorkerPool(1);
        string path = folder.PathOf("gpt-oss.gguf");
        using (var source = new QuantizationSource(checkpoint.Path))
        {
            var quantizer = new ModelQuantizer(source, pool);
            QuantizationPlan plan = quantizer.Plan(Recipe.Parse("MXFP4_MOE"), new PlanOptions(), allowRequantize: false);
            IReadOnlyList<QuantizedTensor> tensors = quantizer.Write(path, plan, new QuantizeOptions(), TestContext.Current.CancellationToken);
            Assert.Equal(6, tensors.Count(t => t.Method == "copied" && t.Plan.Format.Name == "MXFP4"));
        }
        using ModelSource packed = ModelSource.Open(checkpoint.Path), gguf = ModelSource.Open(path);
        foreach (string name in packed.Tensors.Keys.Where(n => n.EndsWith("_exps.weight", StringComparison.Ordinal)))
            for (int e = 0; e < 4; e++)
            {
                Weight expected = packed.Tensors[name].Load(e), actual = gguf.Tensors[name].Load(e);
                for (int r = 0; r < expected.Rows; r++) Assert.Equal(expected.Row(r), actual.Row(r));
            }
    }

    [Theory]
    [InlineData("model.layers.0.mlp.experts.down_proj_scales", "has 'model.layers.0.mlp.experts.down_proj_blocks', but not 'model.layers.0.mlp.experts.down_proj_scales'")]
    public void A_missing_part_is_named(string missing, string message)
    {
        using PackedCheckpoint checkpoint = Pack(missing);
        Assert.Contains(message, Hostile.Attack.Refused(checkpoint.Path), StringComparison.Ordinal);
    }

    private static PackedCheckpoint Pack(string? without = null)
    {
        var checkpoint = new PackedCheckpoint("gpt-oss");
        for (int layer = 0; layer < 2; layer++)
        {
            Pack(checkpoint, $"model.layers.{layer}.mlp.experts.gate_up_proj");
            Pack(checkpoint, $"model.layers.{layer}.mlp.experts.down_proj");
        }
        if (without is not null) checkpoint.Remove(without);
        checkpoint.Write("""{"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]}""");
        return checkpoint;
    }

    /// <summary>Floats [experts, inputs, outputs] to blocks [experts, outputs, inputs / 32, 16], scaled so that about 6 is the largest.</summary>
    private static void Pack(PackedCheckpoint checkpoint, string name)
    {
        (float[] floats, long[] shape) = checkpoint.Floats(name);
        (int experts, int inputs, int outputs) = ((int)shape[0], (int)shape[1], (int)shape[2]);
        int groups = inputs / 32;
        var blocks = new byte[experts * outputs * groups * 16];
        var scales = new byte[experts * outputs * groups];
        for (int block = 0; block < scales.Length; block++)
        {
            int expert = block / groups / outputs, row = block / groups % outputs, first = block % groups * 32;
            int At(int k) => (expert * inputs + first + k) * outputs + row;
            float largest = Enumerable.Range(0, 32).Max(k => Math.Abs(floats[At(k)]));
            scales[block] = block == 0 ? (byte)120 : (byte)(MathF.ILogB(largest) - 2 + 127);
            for (int k = 0; k < 32; k++)
            {
                float scale = MathF.ScaleB(1, scales[block] - 127);
                int code = block == 0 ? k % 16 : Array.IndexOf(Levels, Levels.MinBy(v => Math.Abs(v * scale - floats[At(k)])));
                blocks[block * 16 + k / 2] |= (byte)(code << k % 2 * 4);
                floats[At(k)] = Levels[code] * scale;
            }
        }
        checkpoint.Remove(name);
        checkpoint.Put($"{name}_blocks", "U8", [experts, outputs, groups, 16], blocks);
        checkpoint.Put($"{name}_scales", "U8", [experts, outputs, groups], scales);
        checkpoint.PutFloats(name, floats);
    }
}
