using System.Globalization;
using Nibble.Core;
using Nibble.Core.Formats;

namespace Nibble.Quantization.Ranges;

/// <summary>The rules that choose a dynamic range, by name.</summary>
public static class RangeRules
{
    /// <summary>Every rule. Adding one is a file in this folder and a line here.</summary>
    public static IReadOnlyList<DynamicRange> All { get; } =
    [
        new MinMaxRange(),
        new AbsoluteMaximumRange(),
        new PercentileRange(PercentileRange.DefaultPercent),
        new MeanSquareRange(),
        new EntropyRange(),
        new ImportanceRange(),
        DynamicRange.Reference,
    ];

    /// <summary>The rule of this name; <c>percentile</c> may have its own share after a colon: <c>percentile:99.5</c>.</summary>
    /// <exception cref="UnusableInputException">There is no such rule.</exception>
    public static DynamicRange Parse(string name)
    {
        if (All.FirstOrDefault(r => r.Name.Equals(name, StringComparison.OrdinalIgnoreCase)) is { } known) return known;
        string[] parts = name.Split(':');
        if (parts.Length != 2 || !parts[0].Equals("percentile", StringComparison.OrdinalIgnoreCase))
            throw new UnusableInputException($"there is no range '{name}'; the ranges are {string.Join(", ", All.Select(r => r.Name))}");
        if (!double.TryParse(parts[1], NumberStyles.Float, CultureInfo.InvariantCulture, out double percent) || percent is not (> 50 and <= 100))
            throw new UnusableInputException($"range '{name}': the share must be above 50 and at most 100, as in percentile:99.9");
        return new PercentileRange(percent);
    }
}
