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
        if (IsReference(options)) return IntegerCodes.ToHalf(grid.ReferenceScale(weights));
        if (options.Range is null) return IntegerCodes.ToHalf(grid.ReferenceScale(weights));
        (float low, float high) = options.Range.Choose(weights, options.Importance, grid);
        return IntegerCodes.ToHalf(grid.ScaleOf(low, high));
    }

    /// <summary>Fits, and rounds the weights to codes.</summary>
    public static Half Encode(ReadOnlySpan<float> weights, in FitOptions options, ScaleGrid grid, Span<sbyte> codes)
    {
        if (IsReference(options))
        {
            float exact = grid.ReferenceScale(weights);
            grid.ReferenceCodes(weights, exact, codes);
            return IntegerCodes.ToHalf(exact);
        }
        Half scale = Fit(weights, options, grid);
        IntegerCodes.Round(weights, (float)scale, 0, grid.Lowest, grid.Highest, codes);
        return scale;
    }

    private static bool IsReference(in FitOptions options) =>
        options.Range == DynamicRange.Reference || (options.Range is null && options.Importance.IsEmpty);
}
