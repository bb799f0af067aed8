using System.Text.RegularExpressions;
using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Files;

namespace Nibble.Quantization.Recipes;

/// <summary>What the caller wants changed in a recipe.</summary>
public sealed record PlanOptions
{
    /// <summary>Patterns of tensor names and the format that such tensors get, before the recipe is asked.</summary>
    public IReadOnlyList<FormatOverride> Overrides { get; init; } = [];

    /// <summary>The format of the head, instead of the recipe's.</summary>
    public Format? HeadFormat { get; init; }

    /// <summary>Every matrix in the recipe's own format, without exceptions.</summary>
    public bool Pure { get; init; }
}

/// <summary>The format that a tensor will get.</summary>
/// <param name="Tensor">Under its GGUF name, with its present format.</param>
/// <param name="Format">The format it will have.</param>
/// <param name="Wanted">The format it should have had, where the row's length made another necessary; else null.</param>
public sealed record PlannedTensor(TensorInfo Tensor, Format Format, Format? Wanted)
{
    /// <summary>Bytes of the data as it will be stored, the table it shares included.</summary>
    public long Bytes => Format.SharedBytes + Tensor.Rows * Format.ForColumns((int)Tensor.Columns).RowBytes(Tensor.Columns);
}

/// <summary>Which format every tensor of a model will get; made before any work starts.</summary>
public sealed record QuantizationPlan(Recipe Recipe, PlanOptions Options, IReadOnlyList<PlannedTensor> Tensors)
{
    /// <summary>llama.cpp's choice where a row's length is no multiple of the block (src/llama-quant.cpp).</summary>
    private static readonly Dictionary<string, string> Fallbacks = new()
    {
        ["IQ1_S"] = "IQ4_NL",
        ["IQ1_M"] = "IQ4_NL",
        ["IQ2_XXS"] = "IQ4_NL",
        ["IQ2_XS"] = "IQ4_NL",
        ["IQ2_S"] = "IQ4_NL",
        ["IQ3_XXS"] = "IQ4_NL",
        ["IQ3_S"] = "IQ4_NL",
        ["IQ4_XS"] = "IQ4_NL",
        ["Q2_0"] = "Q4_0",
        ["Q2_K"] = "Q4_0",
        ["Q3_K"] = "Q4_0",
        ["TQ1_0"] = "Q4_0",
        ["TQ2_0"] = "Q4_0",
        ["Q4_K"] = "Q5_0",
        ["Q5_K"] = "Q5_1",
        ["Q6_K"] = "Q8_0",
    };

    public long Bytes => Tensors.Sum(t => t.Bytes);

    /// <summary>Those that could not have the format they should have had.</summary>
    public IEnumerable<PlannedTensor> FellBack => Tensors.Where(t => t.Wanted is not null);

    /// <summary>The same with the norms before the matrices in float32: scales may be folded into them, and 16 bits would round these.</summary>
    public QuantizationPlan WithExactNorms() => this with
    {
        Tensors = [.. Tensors.Select(t => t.Tensor.Name.Contains(".attn_norm.", StringComparison.Ordinal) || t.Tensor.Name.Contains(".ffn_norm.", StringComparison.Ordinal)
            ? t with { Format = FloatFormat.F32 } : t)],
    };

    /// <param name="recipe">The rules.</param>
    /// <param name="tensors">Under their GGUF names; <see cref="TensorInfo.Format"/> is what a tensor that is not quantized keeps.</param>
    /// <param name="model">Facts of the whole model.</param>
    /// <param name="options">The caller's exceptions.</param>
    public static QuantizationPlan Make(Recipe recipe, IReadOnlyList<TensorInfo> tensors, ModelTraits model, PlanOptions options)
    {
        foreach (FormatOverride change in options.Overrides)
            if (!tensors.Any(t => change.Matches(t.Name)))
                throw new UnusableInputException($"override '{change.Pattern}': no tensor has such a name; a folder's tensors have their GGUF names here, such as 'blk.0.ffn_down.weight'");
        Dictionary<string, TensorPlace> places = Places(tensors, model);
        return new QuantizationPlan(recipe, options, [.. tensors.Select(t => Plan(recipe, t, places[t.Name], options))]);
    }

    private static PlannedTensor Plan(Recipe recipe, TensorInfo tensor, TensorPlace place, PlanOptions options)
    {
        if (tensor.Format is null)
            throw new UnusableInputException($"tensor '{tensor.Name}' is of type {tensor.Type}, which holds no weights");
        if (!TensorRoles.IsQuantizable(tensor.Name, tensor.Shape.Count)) return new PlannedTensor(tensor, tensor.Format, null);
        Format wanted = options.Overrides.FirstOrDefault(o => o.Matches(tensor.Name))?.Format
            ?? (place.IsHead ? options.HeadFormat : null)
            ?? (options.Pure ? Format.Parse(recipe.Default) : recipe.FormatFor(place, tensor.Columns));
        Format format = Fitting(wanted, tensor.Columns);
        return new PlannedTensor(tensor, format, format == wanted ? null : wanted);
    }

    /// <summary>The format, or the nearest one whose block divides the row.</summary>
    private static Format Fitting(Format wanted, long columns)
    {
        if (wanted.Divides(columns)) return wanted;
        Format second = Fallbacks.TryGetValue(wanted.Name, out string? name) ? Format.Parse(name) : FloatFormat.F16;
        return second.Divides(columns) ? second : FloatFormat.F16;
    }

    private static Dictionary<string, TensorPlace> Places(IReadOnlyList<TensorInfo> tensors, ModelTraits model)
    {
        bool isTied = !tensors.Any(t => TensorRoles.Of(t.Name) == TensorRole.Output);
        var places = new Dictionary<string, TensorPlace>();
        foreach (IGrouping<TensorRole, TensorInfo> role in tensors.GroupBy(t => TensorRoles.Of(t.Name)))
        {
            TensorInfo[] inOrder = [.. role.OrderBy(t => TensorRoles.LayerOf(t.Name)).ThenBy(t => t.Name, StringComparer.Ordinal)];
            TensorInfo[] matrices = [.. inOrder.Where(t => TensorRoles.IsQuantizable(t.Name, t.Shape.Count))];
            foreach (TensorInfo tensor in inOrder)
                places[tensor.Name] = new TensorPlace(
                    role.Key, TensorRoles.LayerOf(tensor.Name), Array.IndexOf(matrices, tensor), matrices.Length,
                    IsExpertStack: tensor.Shape.Count > 2,
                    IsHead: role.Key == TensorRole.Output || (isTied && role.Key == TensorRole.TokenEmbedding),
                    model);
        }
        return places;
    }
}

/// <summary>The format for tensors whose name has a part that fits a pattern.</summary>
public sealed class FormatOverride
{
    private readonly Regex _regex;

    private FormatOverride(string pattern, Format format)
    {
        Pattern = pattern;
        Format = format;
        // Without backtracking no pattern can take long.
        _regex = new Regex(pattern, RegexOptions.CultureInvariant | RegexOptions.NonBacktracking);
    }

    public string Pattern { get; }

    public Format Format { get; }

    /// <summary>Reads <c>PATTERN=FORMAT</c>.</summary>
    /// <exception cref="UnusableInputException">There is no "=", no such format, or the pattern is no regular expression.</exception>
    public static FormatOverride Parse(string text)
    {
        int equals = text.LastIndexOf('=');
        if (equals <= 0) throw new UnusableInputException($"override '{text}': write PATTERN=FORMAT, for example 'blk\\.\\d+\\.ffn_down=Q6_K'");
        try
        {
            return new FormatOverride(text[..equals], Format.Parse(text[(equals + 1)..]));
        }
        catch (Exception e) when (e is ArgumentException or NotSupportedException)
        {
            throw new UnusableInputException($"override '{text}': the pattern is not a regular expression: {e.Message}", e);
        }
    }

    public bool Matches(string name) => _regex.IsMatch(name);
}
