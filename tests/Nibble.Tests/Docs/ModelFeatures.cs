using Nibble.Core.Kernels;
using Nibble.Models;

namespace Nibble.Tests.Docs;

/// <summary>What sets a model apart from the plain decoder, in a few words each, for people.</summary>
internal static class ModelFeatures
{
    public static IReadOnlyList<string> Of(ModelSource source) =>
        [.. Stream(source.Config, source.Tensors), .. Attention(source.Config), .. Rotation(source.Config), .. FeedForward(source.Config)];

    private static IEnumerable<string> Stream(ModelConfig c, IReadOnlyDictionary<string, ModelTensor> tensors)
    {
        bool Has(string module) => tensors.ContainsKey($"blk.0.{module}.weight");
        if (!c.Causal) yield return "encoder";
        if (c.Norm == NormKind.Layer) yield return "layer norm";
        bool before = Has("attn_norm") || Has("ffn_norm"), after = Has("post_attention_norm");
        if (before && after) yield return "norms before and after blocks";
        else if (after) yield return "norms after blocks";
        else if (Has("attn_output_norm")) yield return "norms after additions";
        if (c.ParallelResidual) yield return "parallel blocks";
        if (tensors.Keys.Any(k => k.EndsWith(".attn_q.bias", StringComparison.Ordinal) || k.EndsWith(".attn_qkv.bias", StringComparison.Ordinal))) yield return "attention biases";
        if (c.EmbeddingScale != 1 || c.ResidualScale != 1 || c.LogitScale != 1) yield return "multipliers";
        if (c.LogitSoftCap > 0) yield return "capped logits";
        if (c.TiedHead) yield return "tied head";
    }

    private static IEnumerable<string> Attention(ModelConfig c)
    {
        if (c.Latent is not null) yield return "latent attention";
        else if (c.KvHeads < c.Heads) yield return "grouped queries";
        if (c.Layers.Any(l => l.Window > 0)) yield return c.Layers.All(l => l.Window > 0) ? "sliding window" : "sliding window in some layers";
        if (c.QueryKeyNorm != QueryKeyNorm.None) yield return c.QueryKeyNorm == QueryKeyNorm.FullWidth ? "query/key norm, full width" : "query/key norm by head";
        if (c.AttentionSoftCap > 0) yield return "capped scores";
        if (c.Sinks) yield return "attention sinks";
    }

    private static IEnumerable<string> Rotation(ModelConfig c)
    {
        RotaryConfig[] rotaries = [.. c.Layers.Select(l => l.Rotary).OfType<RotaryConfig>().Distinct()];
        if (c.LearnedPositions > 0) yield return "learned positions";
        if (rotaries.Length > 1) yield return "two rotary bases";
        if (rotaries.Length > 0 && c.Layers.Any(l => l.Rotary is null)) yield return "layers without rotation";
        if (rotaries.Any(r => r.Dimensions < (c.Latent?.RotarySize ?? c.HeadSize))) yield return "partial rotation";
        if (rotaries.Any(r => r.Interleaved)) yield return "interleaved rotation";
        foreach (RotaryScaling scaling in rotaries.Select(r => r.Scaling).OfType<RotaryScaling>().Distinct())
            yield return scaling switch
            {
                LinearScaling => "linear scaling",
                DynamicScaling => "dynamic scaling",
                YarnScaling => "YaRN",
                LongRopeScaling => "LongRoPE",
                _ => "Llama 3 scaling",
            };
    }

    private static IEnumerable<string> FeedForward(ModelConfig c)
    {
        if (!c.Gated) yield return "no gate";
        if (c.Nonlinearity != Nonlinearity.Silu) yield return c.Nonlinearity switch
        {
            Nonlinearity.Gelu => "GELU",
            Nonlinearity.GeluTanh => "GELU (tanh)",
            Nonlinearity.ClampedSwiGlu => "clamped SwiGLU",
            var f => f.ToString(),
        };
        if (c.Experts is not { } experts) yield break;
        yield return experts.Score == RouterScore.Sigmoid ? "experts, sigmoid router" : "experts";
        if (experts.Groups > 1) yield return "expert groups";
        if (experts.SharedFeedForward > 0) yield return "shared expert";
        if (c.Layers.Any(l => !l.Experts)) yield return "dense layers among them";
    }
}
