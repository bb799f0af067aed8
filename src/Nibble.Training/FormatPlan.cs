using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Files;
using Nibble.Models;
using Nibble.Quantization.Recipes;

namespace Nibble.Training;

/// <summary>The format that every matrix is trained for: what <c>nibble quantize</c> would give it.</summary>
internal sealed class FormatPlan
{
    private FormatPlan(string name, IReadOnlyDictionary<string, Format> formats) => (Name, Formats) = (name, formats);

    /// <summary>The format's or the recipe's name.</summary>
    public string Name { get; }

    /// <summary>By the matrix's name; a matrix that is not in it stays as it is.</summary>
    public IReadOnlyDictionary<string, Format> Formats { get; }

    public Format? FormatOf(string matrix) => Formats.GetValueOrDefault(matrix);

    /// <exception cref="UnusableInputException">There is no such format or recipe.</exception>
    public static FormatPlan Of(ModelSource source, TrainingOptions options)
    {
        Recipe recipe = RecipeOf(options.To);
        if (Format.Parse(recipe.Default).Family == FormatFamily.Float)
            throw new UnusableInputException($"--to {options.To}: there is nothing to train for in a format of plain floats; 'nibble formats' lists others");
        TensorInfo[] tensors = [.. source.Tensors.Values.Select(t => new TensorInfo(t.Name, t.Format.Name, t.Format, t.IsVector ? [t.Columns] : [t.Rows, t.Columns], 0))];
        ModelConfig config = source.Config;
        var traits = new ModelTraits(config.Architecture, config.Layers.Count, config.Heads / config.KvHeads, Experts: 0, HasImportance: false);
        QuantizationPlan plan = QuantizationPlan.Make(recipe, tensors, traits, new PlanOptions { HeadFormat = options.Head });
        return new FormatPlan(recipe.Name, plan.Tensors
            .Where(t => t.Format.Family != FormatFamily.Float && TensorRoles.IsQuantizable(t.Tensor.Name, t.Tensor.Shape.Count))
            .ToDictionary(t => t.Tensor.Name, t => t.Format));
    }

    /// <summary>A recipe, or a format for every matrix: one of the list, or one that a family's grammar describes.</summary>
    private static Recipe RecipeOf(string name)
    {
        try
        {
            return Recipe.Parse(name);
        }
        catch (UnusableInputException) when (LinearFormat.TryParse(name) is not null)
        {
            Format format = Format.Parse(name);
            return new Recipe(format.Name, format.Name, null, []);
        }
    }
}
