namespace Nibble.Models.Architectures;

/// <summary>Qwen3, dense: a norm on the queries and keys of each head.</summary>
internal class Qwen3 : Architecture
{
    public override string Name => "qwen3";

    public override IReadOnlyList<string> ModelTypes => ["qwen3"];

    public override ModelConfig Configure(JsonConfig json)
    {
        ModelConfig config = LlamaLike.Configure(json, Name);
        bool bias = json.Flag("attention_bias", false);
        return config with
        {
            Layers = LlamaLike.SlideQwen(json, config.Layers),
            QueryKeyNorm = QueryKeyNorm.Shared,
            QueryBias = bias,
            OutputBias = bias,
        };
    }

    public override ModelConfig Configure(GgufConfig gguf) => base.Configure(gguf) with { QueryKeyNorm = QueryKeyNorm.Shared };

    internal override GgufHabits Habits => new() { Period = 0 };

    public override IEnumerable<TensorName> Tensors(ModelConfig config) =>
    [
        .. LlamaLike.Ends(config),
        .. LlamaLike.Norms(),
        .. LlamaLike.Attention(config),
        .. LlamaLike.QueryKeyNorms(),
        .. LlamaLike.FeedForward(config),
    ];
}
