using Nibble.Files.Gguf;

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

    public override ModelConfig Configure(GgufConfig gguf)
    {
        ModelConfig config = base.Configure(gguf);
        float embedding = gguf.Number("embedding_scale", 0), residual = gguf.Number("residual_scale", 0), logits = gguf.Number("logit_scale", 0);
        return config with
        {
            EmbeddingScale = embedding == 0 ? 1 : embedding,
            ResidualScale = residual == 0 ? 1 : residual,
            LogitScale = logits == 0 ? 1 : 1 / logits,
        };
    }

    public override void WriteMetadata(ModelConfig config, GgufMetadata metadata)
    {
        base.WriteMetadata(config, metadata);
        metadata.Set($"{Name}.attention.scale", config.Layers[0].AttentionScale);
        metadata.Set($"{Name}.embedding_scale", config.EmbeddingScale);
        metadata.Set($"{Name}.residual_scale", config.ResidualScale);
        metadata.Set($"{Name}.logit_scale", 1 / config.LogitScale);
    }
}
