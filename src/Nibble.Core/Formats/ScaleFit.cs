using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>Chooses the one 16-bit scale of a block of a symmetric format.</summary>
internal static class ScaleFit
{
    /// <summary>
    /// The scale by the range that the options name; by default a search where importance is known, and ggml's own where
    /// it is not.
    /// </summary>
    public static Half Fit(ReadOnlySpan<float> weights, in FitOptions options, ScaleGrid grid)
    {
        if (options.IsReference) return IntegerCodes.ToHalf(grid.ReferenceScale(weights));
        if (options.Range is null) return Search(weights, options.Importance, grid);
        (float low, float high) = options.Range.Choose(weights, options.Importance, grid);
        return IntegerCodes.ToHalf(grid.ScaleOf(low, high));
    }

    /// <summary>Fits, and rounds the weights to codes.</summary>
    public static Half Encode(ReadOnlySpan<float> weights, in FitOptions options, ScaleGrid grid, Span<sbyte> codes)
    {
        if (options.IsReference)
        {
            float exact = grid.ReferenceScale(weights);
            grid.ReferenceCodes(weights, exact, codes);
            return IntegerCodes.ToHalf(exact);
        }
        Half scale = Fit(weights, options, grid);
        IntegerCodes.Round(weights, (float)scale, 0, grid.Lowest, grid.Highest, codes);
        return scale;
    }

    /// <summary>The scale of least weighted square error among many trials, eight at a time.</summary>
    [SkipLocalsInit]
    private static Half Search(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, ScaleGrid grid)
    {
        float unit = GroupLanes.WeightUnit(weights);
        var lanes = new GroupLanes(stackalloc Vector256<float>[2 * weights.Length]);
        lanes.Repeat(weights, importance, unit);
        var search = new ScaleSearch(lanes, grid.Lowest, grid.Highest);
        Vector256<float> first = Vector256.Create(grid.ReferenceScale(weights) * unit);
        for (int i = 0; i < grid.Trials.Length; i += GroupLanes.Lanes)
            search.Improve(first * Vector256.Create(grid.Trials.Slice(i, GroupLanes.Lanes)), turns: 1);
        search.Improve(search.Scale, turns: 2);
        int best = 0;
        for (int i = 1; i < GroupLanes.Lanes; i++)
            if (search.Gain[i] > search.Gain[best]) best = i;
        return IntegerCodes.ToHalf(search.Scale[best] / unit);
    }
}
