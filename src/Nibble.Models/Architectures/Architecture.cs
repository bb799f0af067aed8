using Nibble.Core;

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

    /// <summary>The modules of a model of this configuration.</summary>
    public abstract IEnumerable<TensorName> Tensors(ModelConfig config);

    /// <summary>What comes before all names but the head's; a checkpoint saved without a head lacks it.</summary>
    public virtual string Prefix => "model.";

    /// <summary>True for a tensor that a checkpoint may have without a part in the forward pass.</summary>
    public virtual bool Ignores(string tensor, ModelConfig config) =>
        tensor.EndsWith("rotary_emb.inv_freq", StringComparison.Ordinal) || (config.TiedHead && tensor == "lm_head.weight");

    /// <summary>The architecture of a Hugging Face model.</summary>
    /// <exception cref="UnusableInputException">None has this <c>model_type</c>.</exception>
    internal static Architecture Of(JsonConfig json)
    {
        string type = json.Text("model_type") ?? throw json.Error("model_type", "is missing");
        return All.FirstOrDefault(a => a.ModelTypes.Contains(type)) ?? throw json.Error("model_type",
            $"is {Files.Quote.Name(type)}, an architecture that is not known; known are {string.Join(", ", All.SelectMany(a => a.ModelTypes))}");
    }
}
