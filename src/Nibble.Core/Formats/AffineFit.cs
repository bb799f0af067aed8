using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>Chooses the 16-bit scale and offset of a block of an affine format.</summary>
internal static class AffineFit
{
    /// <summary>
    /// Scale and offset by the range that the options name; by default a search where importance is known, and ggml's own
    /// (from the least weight to the greatest) where it is not.
    /// </summary>
    public static (Half Scale, Half Offset) Fit(ReadOnlySpan<float> weights, in FitOptions options, AffineGrid grid)
    {
        if (options.Range is null && !options.IsReference) return Search(weights, options.Importance, grid);
        (float low, float high) = options.IsReference
            ? IntegerCodes.Interval(weights)
            : options.Range!.Choose(weights, options.Importance, grid);
        return (IntegerCodes.ToHalf(grid.ScaleOf(low, high)), IntegerCodes.ToHalf(low));
    }

    /// <summary>Fits, and rounds the weights to codes.</summary>
    public static (Half Scale, Half Offset) Encode(ReadOnlySpan<float> weights, in FitOptions options, AffineGrid grid, Span<sbyte> codes)
    {
        if (options.IsReference)
        {
            // As ggml rounds: by a scale and an offset that are not yet cut to 16 bits.
            (float low, float high) = IntegerCodes.Interval(weights);
            float exact = grid.ScaleOf(low, high);
            IntegerCodes.Truncate(weights, IntegerCodes.Inverse(exact), low, 0.5f, grid.Highest, codes);
            return (IntegerCodes.ToHalf(exact), IntegerCodes.ToHalf(low));
        }
        (Half scale, Half offset) = Fit(weights, options, grid);
        IntegerCodes.Round(weights, (float)scale, (float)offset, 0, grid.Highest, codes);
        return (scale, offset);
    }

    /// <summary>Scale and offset of least weighted square error among 32 first ranges, eight at a time.</summary>
    [SkipLocalsInit]
    private static (Half Scale, Half Offset) Search(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, AffineGrid grid)
    {
        float unit = GroupLanes.WeightUnit(weights);
        var lanes = new GroupLanes(stackalloc Vector256<float>[2 * weights.Length]);
        lanes.Repeat(weights, importance, unit);
        var search = new AffineSearch(lanes, grid.Highest, offsetBelowZero: false);
        (Vector256<float> lowest, Vector256<float> highest) = search.Interval();
        Vector256<float> code = (highest - lowest) / Vector256.Create((float)grid.Highest);
        Vector256<float> ends = code * Vector256.Create(-0.9f, -0.5f, -0.1f, 0.3f, 0.7f, 1.1f, 1.5f, 2f);
        foreach (float move in (ReadOnlySpan<float>)[-0.8f, -0.2f, 0.4f, 1])
            search.FromRange(lowest + code * move, highest - ends, turns: 1);
        search.FromScale(search.Scale, search.Offset, turns: 3);
        int best = 0;
        for (int i = 1; i < GroupLanes.Lanes; i++)
            if (search.Error[i] < search.Error[best]) best = i;
        return (IntegerCodes.ToHalf(search.Scale[best] / unit), IntegerCodes.ToHalf(search.Offset[best] / unit));
    }
}
