namespace Nibble.Models.Architectures;

/// <summary>Llama 1 to 3 and the many that copied it.</summary>
internal class Llama : Architecture
{
    public override string Name => "llama";

    public override IReadOnlyList<string> ModelTypes => ["llama"];

    public override ModelConfig Configure(JsonConfig json)
    {
        ModelConfig config = LlamaLike.Configure(json, Name);
        bool attentionBias = json.Flag("attention_bias", false);
        return config with
        {
            QueryBias = attentionBias,
            OutputBias = attentionBias,
            FeedForwardBias = json.Flag("mlp_bias", false),
        };
    }

    internal override GgufHabits Habits => new() { Period = 0, Interleaved = true };

    public override IEnumerable<TensorName> Tensors(ModelConfig config) =>
    [
        .. LlamaLike.Ends(config),
        .. LlamaLike.Norms(),
        .. LlamaLike.Attention(config, RowOrders.HalvesToPairs),
        .. LlamaLike.FeedForward(config),
        .. LlamaLike.Experts(config, "block_sparse_moe", "w1", "w3", "w2"),
    ];
}
