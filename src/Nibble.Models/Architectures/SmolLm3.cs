using Nibble.Files.Gguf;

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

    public override ModelConfig Configure(GgufConfig gguf)
    {
        ModelConfig config = base.Configure(gguf);
        return config with { Layers = LlamaLike.Each(config.Layers, (layer, l) => IsRotated(l) ? layer : layer with { Rotary = null }) };
    }

    public override void WriteMetadata(ModelConfig config, GgufMetadata metadata)
    {
        if (config.Layers.Index().Any(l => l.Item.Rotary is null == IsRotated(l.Index)))
            throw Unwritable(metadata, "leaves out rotation in other layers than every fourth");
        base.WriteMetadata(config, metadata);
    }

    private static bool IsRotated(int layer) => (layer + 1) % 4 != 0;
}
