using Nibble.Core;
using Nibble.Files.Gguf;

namespace Nibble.Models.Architectures;

/// <summary>
/// What a family of checkpoints calls things: the names of its tensors, and how its configuration becomes a
/// <see cref="ModelConfig"/>. There is no forward pass here.
/// </summary>
public abstract partial class Architecture
{
    /// <summary>llama.cpp's name, <c>general.architecture</c>.</summary>
    public abstract string Name { get; }

    /// <summary>The values of <c>model_type</c> in config.json.</summary>
    public abstract IReadOnlyList<string> ModelTypes { get; }

    /// <summary>Reads a Hugging Face configuration.</summary>
    /// <exception cref="UnusableInputException">Names the key that stops it.</exception>
    public abstract ModelConfig Configure(JsonConfig json);

    /// <summary>What llama.cpp takes for granted of it.</summary>
    internal virtual GgufHabits Habits => new();

    /// <summary>Reads the metadata of a GGUF file.</summary>
    /// <exception cref="UnusableInputException">Names the key that stops it.</exception>
    public virtual ModelConfig Configure(GgufConfig gguf) => GgufKeys.Read(gguf, Habits);

    /// <summary>Writes the metadata of a GGUF file that describe a model, under llama.cpp's keys; the tokenizer's are not among them.</summary>
    /// <exception cref="UnusableInputException">GGUF has no key for something the configuration has.</exception>
    public virtual void WriteMetadata(ModelConfig config, GgufMetadata metadata)
    {
        bool permuted = Tensors(config).Any(t => t.GgufOrder is not null);
        if (config.Layers.Any(l => l.Rotary is { } rotary && rotary.Interleaved != (Habits.Interleaved && !permuted)))
            throw Unwritable(metadata, "rotates other pairs than llama.cpp does for this architecture");
        if (config.Nonlinearity != Habits.Nonlinearity) throw Unwritable(metadata, $"has the nonlinearity {config.Nonlinearity}");
        if (config.Layers.Any(l => l.Rotary?.Scaling is YarnScaling yarn && yarn.Truncate != Habits.TruncatesYarn))
            throw Unwritable(metadata, $"{(Habits.TruncatesYarn ? "does not round" : "rounds")} the ends of YaRN's ramp to whole pairs");
        GgufKeys.Write(config, metadata, Habits);
    }

    private protected UnusableInputException Unwritable(GgufMetadata metadata, string what) =>
        new($"{metadata.Path}: the model {what}, for which GGUF has no key (architecture '{Name}')");

    /// <summary>The modules of a model of this configuration.</summary>
    public abstract IEnumerable<TensorName> Tensors(ModelConfig config);

    /// <summary>What comes before all names but the head's; a checkpoint saved without a head lacks it.</summary>
    public virtual string Prefix => "model.";

    /// <summary>True for a tensor that a checkpoint may have without a part in the forward pass.</summary>
    public virtual bool Ignores(string tensor, ModelConfig config) =>
        tensor.EndsWith("rotary_emb.inv_freq", StringComparison.Ordinal)
        || tensor is "rope_freqs.weight" or "rope_factors_long.weight" or "rope_factors_short.weight" || (config.TiedHead && tensor == "lm_head.weight");

    /// <summary>The architecture of a GGUF file.</summary>
    /// <exception cref="UnusableInputException">None has this name.</exception>
    internal static Architecture Of(GgufConfig gguf) => All.FirstOrDefault(a => a.Name == gguf.Architecture) ?? throw gguf.Error("general.architecture",
        $"belongs to an architecture that is not known; known are {string.Join(", ", All.Select(a => a.Name).Distinct())}");

    /// <summary>The architecture of a Hugging Face model.</summary>
    /// <exception cref="UnusableInputException">None has this <c>model_type</c>.</exception>
    internal static Architecture Of(JsonConfig json)
    {
        string type = json.Text("model_type") ?? throw json.Error("model_type", "is missing");
        return All.FirstOrDefault(a => a.ModelTypes.Contains(type)) ?? throw json.Error("model_type",
            $"is {Files.Quote.Name(type)}, an architecture that is not known; known are {string.Join(", ", All.SelectMany(a => a.ModelTypes))}");
    }
}
