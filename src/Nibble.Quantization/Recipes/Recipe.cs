using Nibble.Core;
using Nibble.Core.Formats;

namespace Nibble.Quantization.Recipes;

/// <summary>
/// Which tensor gets which format: ordered rules, the first that fits wins, and a format for the rest. The rules say what
/// llama.cpp's llama-quantize does under the same name (src/llama-quant.cpp), so that files compare.
/// </summary>
/// <param name="Name">The name that people use: <c>Q4_K_M</c>.</param>
/// <param name="Default">The format of every matrix that no rule names.</param>
/// <param name="FileType">llama.cpp's number for <c>general.file_type</c>, or null.</param>
/// <param name="Rules">In order.</param>
public sealed partial record Recipe(string Name, string Default, uint? FileType, IReadOnlyList<RecipeRule> Rules)
{
    /// <summary>The recipe of this name, or the format of this name for every matrix but the head (where GGUF has no such format: and but the embedding).</summary>
    /// <exception cref="UnusableInputException">Neither exists.</exception>
    public static Recipe Parse(string name)
    {
        if (Find(Aliases.GetValueOrDefault(name, name)) is { } recipe) return recipe;
        try
        {
            string format = Format.Parse(name).Name;
            return new Recipe(format, format, null, []);
        }
        catch (UnusableInputException e)
        {
            throw new UnusableInputException($"{e.Message}; recipes are {string.Join(' ', All.Select(r => r.Name))}", e);
        }
    }

    /// <summary>Of the embedding and the head, unless they are to have more bits: they suffer most, and a token reads one row of the one.</summary>
    private static readonly Format VocabularyFormat = LinearFormat.OfBits(6);

    private static Recipe? Find(string name) => All.FirstOrDefault(r => r.Name.Equals(name, StringComparison.OrdinalIgnoreCase));

    /// <summary>The format for a matrix at this place.</summary>
    /// <param name="place">Where it stands.</param>
    /// <param name="columns">The length of its rows.</param>
    public Format FormatFor(TensorPlace place, long columns)
    {
        Format format = Format.Parse(Default);
        if (format.Family == FormatFamily.Float) return format;
        if (format.GgufType is null) return place.IsVocabulary && format.BitsPerWeight < VocabularyFormat.BitsPerWeight ? VocabularyFormat : format;
        return Format.Parse(place.IsHead ? HeadFormat(format, columns) : BodyFormat(place));
    }

    /// <summary>Six bits or more, but for the smallest recipes; a row that no block of 256 divides falls back from there.</summary>
    private string HeadFormat(Format format, long columns)
    {
        if (format.Name == "Q8_0") return "Q8_0";
        return columns % format.BlockSize == 0 && Rules.FirstOrDefault(r => r.Role == TensorRole.Output) is { } rule ? rule.Format : "Q6_K";
    }

    private string BodyFormat(TensorPlace place)
    {
        string chosen = Rules.FirstOrDefault(r => r.Fits(place))?.Format ?? Default;
        // Eight query heads share a value head in the 70B models, so these matrices are small and worth more bits.
        bool isLlama70B = place.Model is { Architecture: "llama", Layers: 80 };
        return isLlama70B && place.Role == TensorRole.AttentionValue && chosen is "Q3_K" or "Q4_K" && !IsLowBit ? "Q5_K" : chosen;
    }
}

/// <summary>One rule: a role, perhaps a condition, and the format that such a matrix gets.</summary>
public sealed record RecipeRule(TensorRole? Role, string Format, Func<TensorPlace, bool>? When = null)
{
    public bool Fits(TensorPlace place) => (Role is null || Role == place.Role) && When?.Invoke(place) != false;
}
