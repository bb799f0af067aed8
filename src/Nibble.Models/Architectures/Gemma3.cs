using Nibble.Core.Kernels;
using Nibble.Files.Gguf;

namespace Nibble.Models.Architectures;

/// <summary>Gemma 3: Gemma 2 with normalized queries and keys, five layers with a window to one without, each with a base of its own.</summary>
internal sealed class Gemma3 : Gemma2
{
    public override string Name => "gemma3";

    public override IReadOnlyList<string> ModelTypes => ["gemma3_text"];

    public override ModelConfig Configure(JsonConfig json)
    {
        ModelConfig config = base.Configure(json);
        int every = json.Count("_sliding_window_pattern", json.Count("sliding_window_pattern", 6));
        int window = json.Count("sliding_window", 4096);
        IReadOnlyList<string>? types = LlamaLike.LayerTypes(json, config.Layers.Count);
        RotaryConfig global = RopeParameters.Read(json, config.HeadSize, config.ContextLength, 1_000_000, layerType: "full_attention");
        RotaryConfig local = json.Section("rope_parameters") is null
            ? global with { Theta = json.Positive("rope_local_base_freq", 10000), Scaling = null }
            : RopeParameters.Read(json, config.HeadSize, config.ContextLength, 10000, layerType: "sliding_attention");
        json.Ignore("rope_local_base_freq");
        return config with
        {
            QueryKeyNorm = QueryKeyNorm.Shared,
            Layers = LlamaLike.Each(config.Layers, (layer, l) => (types is null ? (l + 1) % every != 0 : types[l] == "sliding_attention")
                ? layer with { Window = window, Rotary = local } : layer with { Window = 0, Rotary = global }),
        };
    }

    public override ModelConfig Configure(GgufConfig gguf)
    {
        ModelConfig config = base.Configure(gguf);
        float theta = gguf.Positive("rope.freq_base_swa", 10000);
        return config with
        {
            QueryKeyNorm = QueryKeyNorm.Shared,
            Layers = LlamaLike.Each(config.Layers, (layer, _) =>
                layer.Window > 0 ? layer with { Rotary = layer.Rotary! with { Theta = theta, Scaling = null } } : layer),
        };
    }

    public override void WriteMetadata(ModelConfig config, GgufMetadata metadata)
    {
        base.WriteMetadata(config, metadata);
        if (config.Layers.FirstOrDefault(l => l.Window > 0)?.Rotary is { } local) metadata.Set($"{Name}.rope.freq_base_swa", (float)local.Theta);
    }

    private protected override int LargestLayers => 62;

    internal override GgufHabits Habits => new() { Period = 6, Nonlinearity = Nonlinearity.GeluTanh };

    public override IEnumerable<TensorName> Tensors(ModelConfig config) => [.. base.Tensors(config), .. LlamaLike.QueryKeyNorms(offset: 1)];
}
