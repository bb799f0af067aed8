namespace Nibble.Models.Architectures;

/// <summary>Mistral: Llama with a sliding window.</summary>
internal class Mistral : Llama
{
    public override IReadOnlyList<string> ModelTypes => ["mistral"];

    public override ModelConfig Configure(JsonConfig json)
    {
        ModelConfig config = base.Configure(json);
        int window = json.CountOrZero("sliding_window", 0);
        return config with { Layers = LlamaLike.Slide(json, config.Layers, window, _ => true) };
    }
}
