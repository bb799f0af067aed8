using Nibble.Core;
using Nibble.Core.Kernels;

namespace Nibble.Models;

/// <summary>
/// Everything that tells one decoder from another, as data. The forward pass reads nothing else: an architecture is a
/// table of names and a way to this record.
/// </summary>
public sealed record ModelConfig
{
    /// <summary>llama.cpp's name of the architecture (<c>general.architecture</c>).</summary>
    public required string Architecture { get; init; }

    /// <summary>The width of the residual stream.</summary>
    public required int Hidden { get; init; }

    /// <summary>The middle of a dense feed-forward block.</summary>
    public required int FeedForward { get; init; }

    /// <summary>Query heads.</summary>
    public required int Heads { get; init; }

    /// <summary>Key and value heads; each serves <see cref="Heads"/> / <see cref="KvHeads"/> query heads.</summary>
    public required int KvHeads { get; init; }

    /// <summary>The width of a query, a key and a value; latent attention has its own (<see cref="Latent"/>).</summary>
    public required int HeadSize { get; init; }

    public required int Vocabulary { get; init; }

    /// <summary>The most positions the model was trained for.</summary>
    public required int ContextLength { get; init; }

    /// <summary>One entry a layer.</summary>
    public required IReadOnlyList<LayerConfig> Layers { get; init; }

    public NormKind Norm { get; init; } = NormKind.Rms;

    public required float NormEpsilon { get; init; }

    /// <summary>Norms have a bias, in an architecture where they may have none.</summary>
    public bool NormBias { get; init; }

    /// <summary>Attention and feed-forward read the same input and are added together.</summary>
    public bool ParallelResidual { get; init; }

    public Nonlinearity Nonlinearity { get; init; } = Nonlinearity.Silu;

    /// <summary>The feed-forward block multiplies f(gate) with another projection; false: f(up) alone.</summary>
    public bool Gated { get; init; } = true;

    public QueryKeyNorm QueryKeyNorm { get; init; }

    /// <summary>Queries, keys and values have a bias; null: where the checkpoint has one.</summary>
    public bool? QueryBias { get; init; } = false;

    /// <summary>The projection out of attention has a bias; null: where the checkpoint has one.</summary>
    public bool? OutputBias { get; init; } = false;

    /// <summary>The projections of feed-forward blocks have a bias; null: where the checkpoint has one.</summary>
    public bool? FeedForwardBias { get; init; } = false;

    /// <summary>The head is the embedding.</summary>
    public bool TiedHead { get; init; }

    /// <summary>False for an encoder: every token sees every other, and there is no head.</summary>
    public bool Causal { get; init; } = true;

    /// <summary>Each head has a score that takes part in the softmax and brings no value (Xiao et al., arXiv:2309.17453).</summary>
    public bool Sinks { get; init; }

    /// <summary>c of c tanh(s / c) over attention scores; 0 is none.</summary>
    public float AttentionSoftCap { get; init; }

    /// <summary>c of c tanh(z / c) over logits; 0 is none.</summary>
    public float LogitSoftCap { get; init; }

    /// <summary>Multiplies the embedding.</summary>
    public float EmbeddingScale { get; init; } = 1;

    /// <summary>Multiplies what a block adds to the residual stream.</summary>
    public float ResidualScale { get; init; } = 1;

    /// <summary>Multiplies the logits.</summary>
    public float LogitScale { get; init; } = 1;

    /// <summary>Rows of a learned position embedding; 0 is none.</summary>
    public int LearnedPositions { get; init; }

    /// <summary>Rows of a token type embedding, of which the first is added to every token; 0 is none.</summary>
    public int TokenTypes { get; init; }

    /// <summary>Mixture of experts, in the layers whose <see cref="LayerConfig.Experts"/> is set.</summary>
    public ExpertsConfig? Experts { get; init; }

    /// <summary>Multi-head latent attention, in all layers.</summary>
    public LatentConfig? Latent { get; init; }

    /// <summary>Refuses numbers that no forward pass can have.</summary>
    /// <param name="place">The file, for the message.</param>
    /// <exception cref="UnusableInputException">One line says which.</exception>
    internal void Check(string place)
    {
        if (KvHeads > Heads || Heads % KvHeads != 0)
            throw new UnusableInputException($"{place}: {Heads} query heads cannot share {KvHeads} key and value heads; the latter must divide the former");
        if (Math.Max((long)Heads * KeySize, Math.Max(Hidden, FeedForward)) > 1 << 24 || Heads > 1 << 16)
            throw new UnusableInputException($"{place}: a width of {Math.Max((long)Heads * KeySize, Math.Max(Hidden, FeedForward))} is more than any model's; at most 2^24 are computed");
        if (Math.Max(KeySize, ValueSize) > Attention.WidestHead)
            throw new UnusableInputException($"{place}: a head is {Math.Max(KeySize, ValueSize)} numbers wide; at most {Attention.WidestHead} are computed");
        if (Experts is { } experts && (experts.Used > experts.Count || experts.Count % experts.Groups != 0 || experts.UsedGroups > experts.Groups))
            throw new UnusableInputException(
                $"{place}: {experts.Used} of {experts.Count} experts, {experts.UsedGroups} of {experts.Groups} groups, cannot be chosen");
    }

    /// <summary>The width of a stored key.</summary>
    public int KeySize => Latent?.KeySize ?? HeadSize;

    /// <summary>The width of a head's output.</summary>
    public int ValueSize => Latent?.ValueSize ?? HeadSize;
}

/// <summary>How queries and keys are normalized before they are rotated.</summary>
public enum QueryKeyNorm
{
    None,
    /// <summary>Each head by itself, all with one weight vector.</summary>
    Shared,
    /// <summary>Each head by itself, with a weight vector of its own.</summary>
    PerHead,
    /// <summary>All heads together, as one vector.</summary>
    FullWidth,
}

/// <summary>What may differ from layer to layer.</summary>
public sealed record LayerConfig
{
    /// <summary>Null for a layer without rotary embedding.</summary>
    public RotaryConfig? Rotary { get; init; }

    /// <summary>A token sees this many positions, its own included (encoders: as many to either side); 0 is no limit.</summary>
    public int Window { get; init; }

    /// <summary>The feed-forward block is a mixture of experts.</summary>
    public bool Experts { get; init; }

    /// <summary>Multiplies attention scores.</summary>
    public required float AttentionScale { get; init; }
}

/// <summary>A mixture of experts.</summary>
public sealed record ExpertsConfig
{
    /// <summary>Routed experts.</summary>
    public required int Count { get; init; }

    /// <summary>Experts that a token is sent to.</summary>
    public required int Used { get; init; }

    /// <summary>The middle of one expert's block.</summary>
    public required int FeedForward { get; init; }

    /// <summary>The middle of the block that every token passes too; 0 is none.</summary>
    public int SharedFeedForward { get; init; }

    public RouterScore Score { get; init; }

    /// <summary>The chosen experts' scores are divided by their sum.</summary>
    public bool Normalize { get; init; }

    /// <summary>Multiplies the weights of the chosen experts.</summary>
    public float Scale { get; init; } = 1;

    /// <summary>Experts are in groups of equal size, of which <see cref="UsedGroups"/> are chosen first; 1 is none.</summary>
    public int Groups { get; init; } = 1;

    public int UsedGroups { get; init; } = 1;

    /// <summary>A group is worth the sum of so many of its best scores: 1 or 2.</summary>
    public int GroupWorth { get; init; } = 2;
}

/// <summary>How a router's logits become weights.</summary>
public enum RouterScore
{
    /// <summary>Softmax over all experts, then the best are chosen.</summary>
    Softmax,
    /// <summary>The best are chosen, then softmax over them alone.</summary>
    SoftmaxOfChosen,
    /// <summary>Each expert's logistic function; a bias may correct the choice, not the weight.</summary>
    Sigmoid,
}

/// <summary>
/// Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434): keys and values of all heads are projections of one
/// latent vector a token, which is all that is stored.
/// </summary>
public sealed record LatentConfig
{
    /// <summary>The width of the latent query; 0 where queries are projected directly.</summary>
    public required int QueryRank { get; init; }

    /// <summary>The width of the latent vector of keys and values.</summary>
    public required int Rank { get; init; }

    /// <summary>The part of a head's query and key that knows no position.</summary>
    public required int PlainSize { get; init; }

    /// <summary>The part that is rotated, which all heads' keys share.</summary>
    public required int RotarySize { get; init; }

    /// <summary>The width of a head's value.</summary>
    public required int ValueSize { get; init; }

    /// <summary>The width of a stored key: the latent vector and the rotated part.</summary>
    public int KeySize => Rank + RotarySize;
}
