namespace Nibble.Models.Architectures;

/// <summary>SmolLM3: Llama without rotation in every fourth layer.</summary>
internal sealed class SmolLm3 : Llama
{
    public override string Name => "smollm3";

    public override IReadOnlyList<string> ModelTypes => ["smollm3"];

    public override ModelConfig Configure(JsonConfig json)
    {
        ModelConfig config = base.Configure(json);
        int every = json.Count("no_rope_layer_interval", 4);
        IReadOnlyList<double>? rotated = json.Numbers("no_rope_layers");
        if (rotated is not null && rotated.Count != config.Layers.Count)
            throw json.Error("no_rope_layers", $"has {rotated.Count} entries for {config.Layers.Count} layers");
        return config with
        {
            TiedHead = json.Flag("tie_word_embeddings", true),
            Layers = LlamaLike.Each(LlamaLike.SlideQwen(json, config.Layers),
                (layer, l) => (rotated is null ? (l + 1) % every != 0 : rotated[l] != 0) ? layer : layer with { Rotary = null }),
        };
    }
}
