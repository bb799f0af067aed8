using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Files;
using Nibble.Quantization.Recipes;

namespace Nibble.Quantization.Calibration;

public sealed partial class ImportanceMatrix
{
    /// <summary>The importance of a tensor's columns, or null where it was not measured.</summary>
    /// <exception cref="UnusableInputException">It was measured on a tensor of another shape.</exception>
    public ColumnImportance? For(SourceTensor tensor)
    {
        if (!Tensors.TryGetValue(tensor.Info.Name, out ColumnImportance? found)) return null;
        if (found.Sums.Length == tensor.Experts * tensor.Columns) return found;
        // A folder may have a tensor for each expert, where GGUF stacks them.
        if (tensor.Matrices is [{ Expert: var expert }] && found.Sums.Length == found.Parts * tensor.Columns && expert < found.Parts) return found.Of(expert);
        throw new UnusableInputException(
            $"{Path}: has {found.Sums.Length} columns for tensor {Quote.Name(tensor.Info.Name)}, which has {tensor.Experts * tensor.Columns}; it was measured on another model");
    }

    /// <summary>The same matrix of the layer before, or null.</summary>
    public ColumnImportance? LayerBefore(string tensor)
    {
        int layer = TensorRoles.LayerOf(tensor);
        return layer < 1 ? null : Tensors.GetValueOrDefault($"blk.{layer - 1}{tensor[tensor.IndexOf('.', 4)..]}");
    }

    /// <summary>What a person should know before a plan is carried out: matrices and experts whose importance nobody measured.</summary>
    /// <exception cref="UnusableInputException">It is that of another model.</exception>
    public IReadOnlyList<string> Warnings(QuantizationSource source, QuantizationPlan plan)
    {
        var warnings = new List<string>();
        SourceTensor[] quantized = [.. source.Tensors.Zip(plan.Tensors).Where(t => t.Second.Format.Family != FormatFamily.Float).Select(t => t.First)];
        (SourceTensor Tensor, ColumnImportance? Importance)[] matched = [.. quantized.Select(t => (t, For(t)))];
        if (matched.Length > 0 && matched.All(m => m.Importance is null))
            throw new UnusableInputException($"{Path}: has no tensor of {source.Path}; it was measured on another model");
        // The embedding multiplies nothing, and llama.cpp leaves the head out as well.
        SourceTensor[] missing = [.. matched.Where(m => m.Importance is null && TensorRoles.LayerOf(m.Tensor.Info.Name) >= 0).Select(m => m.Tensor)];
        if (missing.Length > 0)
            warnings.Add($"{Path}: does not know {missing.Length} matrices, which are rounded without importance ({missing[0].Info.Name}, ...)");
        (SourceTensor Tensor, ColumnImportance? Importance)[] partly = [.. matched.Where(m => m.Importance?.Unreached > 0)];
        if (partly.Length > 0)
            warnings.Add($"{Path}: no token reached {partly.Sum(p => p.Importance!.Unreached)} experts in {partly.Length} tensors; all their columns count alike ({partly[0].Tensor.Info.Name}, ...)");
        return warnings;
    }
}
