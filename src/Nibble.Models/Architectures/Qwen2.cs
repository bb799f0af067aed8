namespace Nibble.Models.Architectures;

/// <summary>Qwen2 and 2.5: Llama with biases on queries, keys and values.</summary>
internal sealed class Qwen2 : Architecture
{
    public override string Name => "qwen2";

    public override IReadOnlyList<string> ModelTypes => ["qwen2"];

    public override ModelConfig Configure(JsonConfig json)
    {
        ModelConfig config = LlamaLike.Configure(json, Name);
        return config with { Layers = LlamaLike.SlideQwen(json, config.Layers), QueryBias = true };
    }

    internal override GgufHabits Habits => new() { Period = 0 };

    public override IEnumerable<TensorName> Tensors(ModelConfig config) =>
    [
        .. LlamaLike.Ends(config),
        .. LlamaLike.Norms(),
        .. LlamaLike.Attention(config),
        .. LlamaLike.FeedForward(config),
    ];
}
