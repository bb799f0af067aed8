namespace Nibble.Models.Architectures;

/// <summary>OLMo 2: norms after the blocks instead of before, and over all queries and all keys at once.</summary>
internal sealed class Olmo2 : Architecture
{
    public override string Name => "olmo2";

    public override IReadOnlyList<string> ModelTypes => ["olmo2"];

    public override ModelConfig Configure(JsonConfig json)
    {
        ModelConfig config = LlamaLike.Configure(json, Name, epsilon: 1e-5);
        bool bias = json.Flag("attention_bias", false);
        return config with { QueryKeyNorm = QueryKeyNorm.FullWidth, QueryBias = bias, OutputBias = bias };
    }

    public override ModelConfig Configure(GgufConfig gguf) => base.Configure(gguf) with { QueryKeyNorm = QueryKeyNorm.FullWidth };

    public override IEnumerable<TensorName> Tensors(ModelConfig config) =>
    [
        .. LlamaLike.Ends(config),
        .. LlamaLike.Attention(config),
        .. LlamaLike.QueryKeyNorms(),
        .. LlamaLike.FeedForward(config),
        new("blk.{l}.post_attention_norm", "model.layers.{l}.post_attention_layernorm"),
        new("blk.{l}.post_ffw_norm", "model.layers.{l}.post_feedforward_layernorm"),
    ];
}
