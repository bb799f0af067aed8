using System.Numerics.Tensors;
using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Models;
using Nibble.Models.Decoder;

namespace Nibble.Quantization.Calibration;

/// <summary>
/// The input of some linear layers whose columns can be scaled without a change of the model: their weights are multiplied by
/// the scales, and what comes before, a norm or the rows of another linear layer, is divided by them.
/// </summary>
internal sealed class FoldableInput
{
    /// <summary>For each column, the number of the norm, or the row of <see cref="Before"/>, that it is made by.</summary>
    private readonly int[] _makers;

    private FoldableInput(IReadOnlyList<Linear> readers, string? norm, Linear? before, int[] makers) =>
        (Readers, Norm, Before, _makers) = (readers, norm, before, makers);

    /// <summary>Every linear layer that reads it; the first is the one that runs first.</summary>
    public IReadOnlyList<Linear> Readers { get; }

    /// <summary>The module of the norm before it, or null.</summary>
    public string? Norm { get; }

    /// <summary>The linear layer before it, or null.</summary>
    public Linear? Before { get; }

    /// <summary>
    /// What precedes what in a layer of the decoder. Left out: inputs of experts, whose router reads them too; latent attention; a linear
    /// layer behind another with a bias, behind a nonlinearity, or behind a norm that feeds the residual stream as well.
    /// </summary>
    public static IEnumerable<FoldableInput> Of(DecoderModel model, int layer)
    {
        ModelConfig config = model.Config;
        string block = $"blk.{layer}.";
        Linear[] attention = Present(model, block, "attn_q", "attn_k", "attn_v", "attn_qkv");
        Linear[] feedForward = Present(model, block, "ffn_gate", "ffn_up", "ffn_gate_up");
        bool dense = !config.Layers[layer].Experts, plain = config.Latent is null;
        // Blocks side by side without a second norm read the same input.
        bool shared = config.ParallelResidual && !model.HasNorm($"{block}ffn_norm");
        if (plain && model.HasNorm($"{block}attn_norm") && (!shared || dense))
            yield return BehindNorm($"{block}attn_norm", shared ? [.. attention, .. feedForward] : attention);
        if (dense && model.HasNorm($"{block}ffn_norm")) yield return BehindNorm($"{block}ffn_norm", feedForward);
        if (plain && BehindValues(config, attention, Present(model, block, "attn_output")) is { } output) yield return output;
        if (dense && BehindUp(config, feedForward, Present(model, block, "ffn_down")) is { } down) yield return down;
    }

    private static Linear[] Present(DecoderModel model, string block, params string[] names) =>
        [.. names.Select(name => model.Linears.FirstOrDefault(l => l.Name == block + name)).OfType<Linear>()];

    private static FoldableInput BehindNorm(string norm, Linear[] readers) =>
        new(readers, norm, null, [.. Enumerable.Range(0, readers[0].Weight.Columns)]);

    /// <summary>Attention mixes values over tokens, never over columns; several query heads may read one value head.</summary>
    private static FoldableInput? BehindValues(ModelConfig config, Linear[] attention, Linear[] output)
    {
        Linear values = attention[^1];
        int size = config.HeadSize, shares = config.Heads / config.KvHeads, first = values.Weight.Rows - config.KvHeads * size;
        if (output.Length == 0 || values.Bias.Length > 0 || output[0].Weight.Columns != config.Heads * size) return null;
        return new FoldableInput(output, null, values, [.. Enumerable.Range(0, config.Heads * size).Select(c => first + c / size / shares * size + c % size)]);
    }

    /// <summary>The gate is what the nonlinearity sees; the other factor goes through as it is.</summary>
    private static FoldableInput? BehindUp(ModelConfig config, Linear[] feedForward, Linear[] down)
    {
        bool gated = feedForward.Length == 2 || feedForward[^1].Name.EndsWith("gate_up", StringComparison.Ordinal);
        Linear up = feedForward[^1];
        if (down.Length == 0 || !gated || up.Bias.Length > 0 || config.Nonlinearity == Nonlinearity.ClampedSwiGlu) return null;
        int width = down[0].Weight.Columns, first = up.Weight.Rows - width;
        return new FoldableInput(down, null, up, [.. Enumerable.Range(first, width)]);
    }

    /// <summary>Scales that columns of one maker share: the geometric mean of theirs.</summary>
    public float[] Shared(float[] scales)
    {
        var sums = new Dictionary<int, (double Sum, int Count)>();
        for (int c = 0; c < scales.Length; c++)
        {
            (double sum, int count) = sums.GetValueOrDefault(_makers[c]);
            sums[_makers[c]] = (sum + Math.Log(scales[c]), count + 1);
        }
        return [.. _makers.Select(m => (float)Math.Exp(sums[m].Sum / sums[m].Count))];
    }

    /// <summary>Scales the columns, and what makes them the other way.</summary>
    /// <param name="scales">Of each column, as <see cref="Shared"/> gives them.</param>
    public void Apply(DecoderModel model, float[] scales, FoldedScales folded)
    {
        foreach (Linear reader in Readers)
        {
            folded.ScaleColumns(MatrixName.OfLinear(reader.Name), scales);
            Replace(reader, (_, weights) => TensorPrimitives.Multiply(weights, scales, weights));
        }
        var divisors = new float[Before?.Weight.Rows ?? scales.Length];
        Array.Fill(divisors, 1f);
        for (int c = 0; c < scales.Length; c++) divisors[_makers[c]] = 1 / scales[c];
        if (Before is null)
        {
            model.ScaleNorm(Norm!, divisors);
            folded.ScaleNorm(Norm!, divisors);
            return;
        }
        folded.ScaleRows(MatrixName.OfLinear(Before.Name), divisors);
        Replace(Before, (r, weights) => TensorPrimitives.Multiply(weights, divisors[r], weights));
    }

    private static void Replace(Linear linear, Action<int, float[]> scale)
    {
        Weight old = linear.Weight, scaled = Weight.Allocate(linear.Name, FloatFormat.F32, old.Rows, old.Columns);
        var row = new float[old.Columns];
        for (int r = 0; r < old.Rows; r++)
        {
            old.ReadRow(r, row);
            scale(r, row);
            scaled.Format.Encode(row, default, scaled.Row(r));
        }
        linear.Replace(scaled);
    }
}
