namespace Nibble.Models.Architectures;

/// <summary>Mixtral: Mistral with a mixture of experts in every layer.</summary>
internal sealed class Mixtral : Mistral
{
    public override IReadOnlyList<string> ModelTypes => ["mixtral"];

    public override ModelConfig Configure(JsonConfig json)
    {
        ModelConfig config = base.Configure(json);
        return config with
        {
            Layers = LlamaLike.Each(config.Layers, (layer, _) => layer with { Experts = true }),
            Experts = new ExpertsConfig
            {
                Count = json.Count("num_local_experts"),
                Used = json.Count("num_experts_per_tok"),
                FeedForward = config.FeedForward,
                Normalize = true,
            },
        };
    }
}
