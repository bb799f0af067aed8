namespace Nibble.Quantization.Recipes;

/// <summary>Facts of a whole model that recipes look at.</summary>
/// <param name="Architecture">llama.cpp's name: "llama", "qwen2".</param>
/// <param name="Layers">Blocks.</param>
/// <param name="QueriesPerKey">Query heads that share a key head.</param>
/// <param name="Experts">0 for a dense model.</param>
/// <param name="HasImportance">Calibration statistics are at hand.</param>
public sealed record ModelTraits(string Architecture, int Layers, int QueriesPerKey, int Experts, bool HasImportance);

/// <summary>Where a tensor stands in its model.</summary>
/// <param name="Role">What it does.</param>
/// <param name="Layer">Its block, or -1.</param>
/// <param name="Ordinal">How many tensors of its role come before it.</param>
/// <param name="Count">How many tensors of its role there are.</param>
/// <param name="IsExpertStack">It holds the matrices of several experts.</param>
/// <param name="IsHead">It makes the logits: the output matrix, or the embedding where the two are tied.</param>
/// <param name="Model">The model it stands in.</param>
public sealed record TensorPlace(TensorRole Role, int Layer, int Ordinal, int Count, bool IsExpertStack, bool IsHead, ModelTraits Model)
{
    /// <summary>It is the embedding or the head.</summary>
    public bool IsVocabulary => IsHead || Role is TensorRole.TokenEmbedding or TensorRole.Output;

    /// <summary>It is in the first eighth (sixteenth, ...) of the layers.</summary>
    public bool InFirst(int share) => Layer < Model.Layers / share;

    /// <summary>It is in one of the layers that the "M" recipes spend more on: the first and last eighth, and each third between.</summary>
    public bool IsSensitiveLayer => IsSensitive(Layer, Model.Layers);

    /// <summary>The same, counted among the tensors of its role.</summary>
    public bool IsSensitiveOfRole => IsSensitive(Ordinal, Count);

    private static bool IsSensitive(int at, int count) => at < count / 8 || at >= 7 * count / 8 || (at - count / 8) % 3 == 2;
}
