namespace Nibble.Models.Architectures;

/// <summary>Granite 3: Llama with multipliers on embedding, attention, residual and logits.</summary>
internal sealed class Granite : Llama
{
    public override string Name => "granite";

    public override IReadOnlyList<string> ModelTypes => ["granite"];

    public override ModelConfig Configure(JsonConfig json)
    {
        ModelConfig config = base.Configure(json);
        float scale = (float)json.Positive("attention_multiplier", 1);
        return config with
        {
            Layers = LlamaLike.Each(config.Layers, (layer, _) => layer with { AttentionScale = scale }),
            EmbeddingScale = (float)json.Positive("embedding_multiplier", 1),
            ResidualScale = (float)json.Positive("residual_multiplier", 1),
            LogitScale = (float)(1 / json.Positive("logits_scaling", 1)),
        };
    }
}
