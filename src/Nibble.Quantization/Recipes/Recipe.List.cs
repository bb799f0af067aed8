using static Nibble.Quantization.Recipes.TensorRole;

namespace Nibble.Quantization.Recipes;

public sealed partial record Recipe
{
    /// <summary>Every recipe, by its common name; the numbers are llama.cpp's file types.</summary>
    public static IReadOnlyList<Recipe> All { get; } =
    [
        new("F32", "F32", 0, []),
        new("F16", "F16", 1, []),
        new("BF16", "BF16", 32, []),
        new("Q8_0", "Q8_0", 7, MixtureRules),
        new("Q6_K", "Q6_K", 18, MixtureRules),
        new("Q5_K_M", "Q5_K", 17, [.. MixtureRules,
            On(AttentionValue, "Q6_K", p => p.IsSensitiveOfRole), On(FeedForwardDown, "Q6_K", p => p.IsSensitiveLayer)]),
        new("Q5_K_S", "Q5_K", 16, MixtureRules),
        new("Q5_1", "Q5_1", 9, MixtureRules),
        new("Q5_0", "Q5_0", 8, [.. MixtureRules, On(FeedForwardDown, "Q5_1", p => p.Model.HasImportance && p.InFirst(8))]),
        new("Q4_K_M", "Q4_K", 15, [.. MixtureRules, MixtureOutput,
            On(AttentionValue, "Q6_K", p => p.IsSensitiveOfRole), On(FeedForwardDown, "Q6_K", p => p.IsSensitiveLayer)]),
        new("Q4_K_S", "Q4_K", 14, [.. MixtureRules, MixtureOutput,
            On(AttentionValue, "Q5_K", p => p.Ordinal < 4), On(FeedForwardDown, "Q5_K", p => p.InFirst(8))]),
        new("Q4_1", "Q4_1", 3, MixtureRules),
        new("Q4_0", "Q4_0", 2, [.. MixtureRules, On(FeedForwardDown, "Q4_1", p => p.Model.HasImportance && p.InFirst(8))]),
        new("IQ4_NL", "IQ4_NL", 25, FourBitTable),
        new("IQ4_XS", "IQ4_XS", 30, FourBitTable),
        new("Q3_K_L", "Q3_K", 13, [.. MixtureRules,
            On(AttentionValue, "Q5_K"), On(FeedForwardDown, "Q5_K"), On(AttentionOutput, "Q5_K", p => p.Model.Experts != 8)]),
        new("Q3_K_M", "Q3_K", 12, [.. MixtureRules, MixtureOutput,
            On(AttentionValue, "Q5_K", p => p.Ordinal < 2), On(AttentionValue, "Q4_K"),
            On(FeedForwardDown, "Q5_K", p => p.InFirst(16)), On(FeedForwardDown, "Q4_K"), On(AttentionOutput, "Q4_K")]),
        new("Q3_K_S", "Q3_K", 11, [.. MixtureRules, MixtureOutput]),
        new("IQ3_M", "IQ3_S", 27, [.. MixtureRules, MixtureOutput,
            On(AttentionValue, "Q4_K"), On(AttentionOutput, "Q4_K"),
            On(FeedForwardDown, "Q4_K", p => p.InFirst(8) || (p.Model.Experts == 8 && p.IsSensitiveLayer))]),
        new("IQ3_S", "IQ3_S", 26, [.. MixtureRules, MixtureOutput, On(AttentionValue, "Q4_K", SharesKeys)]),
        new("IQ3_XS", "IQ3_S", 22, [.. MixtureRules, MixtureOutput,
            On(AttentionValue, "Q4_K", SharesKeys), On(AttentionKey, "IQ3_XXS"), On(AttentionQuery, "IQ3_XXS"),
            On(FeedForwardGate, "IQ3_XXS", IsMiddleLayer), On(FeedForwardUp, "IQ3_XXS", IsMiddleLayer)]),
        new("IQ3_XXS", "IQ3_XXS", 23, [.. MixtureRules, MixtureOutput,
            On(Output, "Q5_K"), On(TokenEmbedding, "IQ3_S"),
            On(AttentionValue, "Q4_K", SharesKeys), On(AttentionValue, "IQ3_S", p => !p.Model.HasImportance),
            On(AttentionKey, "IQ2_S"), On(AttentionQuery, "IQ2_S"), On(AttentionOutput, "IQ3_S"),
            On(FeedForwardDown, "Q4_K", p => !p.Model.HasImportance && p.InFirst(8)),
            On(FeedForwardDown, "Q3_K", p => !p.Model.HasImportance)]),
        new("Q2_K", "Q2_K", 10, [.. MixtureRules, MixtureOutput,
            On(AttentionValue, "Q4_K", SharesKeys), On(AttentionValue, "Q3_K"), On(FeedForwardDown, "Q3_K"), On(AttentionOutput, "Q3_K")]),
        new("Q2_K_S", "Q2_K", 21, [.. MixtureRules,
            On(AttentionValue, "Q4_K", SharesKeys), On(FeedForwardDown, "Q4_K", p => p.InFirst(8))]),
        new("IQ2_M", "IQ2_S", 29, LowBit("IQ3_S", "IQ3_S")),
        new("IQ2_S", "IQ2_XS", 28, LowBit("IQ3_S", "IQ3_S")),
        new("IQ2_XS", "IQ2_XS", 20, LowBit("Q2_K", null)),
        new("IQ2_XXS", "IQ2_XXS", 19, LowBit("Q2_K", null)),
        new("IQ1_M", "IQ1_M", 31, LowBit("Q2_K", "IQ2_XXS")),
        new("IQ1_S", "IQ1_S", 24, LowBit("Q2_K", "IQ2_XXS")),
        new("TQ2_0", "TQ2_0", 37, [.. MixtureRules, On(TokenEmbedding, "Q4_K")]),
        new("TQ1_0", "TQ1_0", 36, [.. MixtureRules, On(TokenEmbedding, "Q4_K")]),
        new("MXFP4_MOE", "MXFP4", 38, [On(Output, "Q8_0"), new(null, "Q8_0", p => !p.IsExpertStack)]),
        new("NVFP4", "NVFP4", 39, MixtureRules),
        new("Q2_0", "Q2_0", 41, [.. MixtureRules, On(TokenEmbedding, "Q4_K")]),
        new("Q1_0", "Q1_0", 40, MixtureRules),
    ];

    private static readonly Dictionary<string, string> Aliases = new(StringComparer.OrdinalIgnoreCase)
    {
        ["Q3_K"] = "Q3_K_M",
        ["Q4_K"] = "Q4_K_M",
        ["Q5_K"] = "Q5_K_M",
    };

    /// <summary>Mixtures of eight experts: their shared attention is small beside the experts.</summary>
    private static RecipeRule[] MixtureRules =>
        [On(AttentionValue, "Q8_0", p => p.Model.Experts == 8), On(AttentionKey, "Q8_0", p => p.Model.Experts == 8)];

    private static RecipeRule MixtureOutput => On(AttentionOutput, "Q5_K", p => p.Model.Experts == 8);

    private static RecipeRule[] FourBitTable =>
    [
        .. MixtureRules, MixtureOutput,
        On(AttentionValue, "Q5_K", SharesKeys),
        On(FeedForwardDown, "Q5_K", p => !p.Model.HasImportance && p.InFirst(8)),
    ];

    /// <summary>The recipes of at most 2.7 bits: what is sensitive gets <paramref name="sensitive"/>.</summary>
    private static RecipeRule[] LowBit(string sensitive, string? attentionOutput) =>
    [
        On(Output, "Q5_K"),
        On(TokenEmbedding, sensitive),
        On(AttentionValue, "Q4_K", p => SharesKeys(p) || p.Model.Experts >= 4),
        On(AttentionValue, sensitive),
        On(AttentionKey, "Q4_K", p => p.Model.Experts == 8),
        On(FeedForwardDown, sensitive, p => p.Ordinal < p.Model.Layers / 8),
        MixtureOutput,
        .. attentionOutput is null ? Array.Empty<RecipeRule>() : [On(AttentionOutput, attentionOutput)],
    ];

    /// <summary>Whether this is one of the recipes that <see cref="LowBit"/> makes.</summary>
    private bool IsLowBit => Name.StartsWith("IQ1", StringComparison.Ordinal) || Name.StartsWith("IQ2", StringComparison.Ordinal);

    private static bool SharesKeys(TensorPlace place) => place.Model.QueriesPerKey >= 4;

    private static bool IsMiddleLayer(TensorPlace place) => !place.InFirst(8) && place.Layer < 7 * place.Model.Layers / 8;

    private static RecipeRule On(TensorRole role, string format, Func<TensorPlace, bool>? when = null) => new(role, format, when);
}
