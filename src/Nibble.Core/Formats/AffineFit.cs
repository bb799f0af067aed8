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
        (float low, float high) = options.Range is null || options.Range == DynamicRange.Reference
            ? IntegerCodes.Interval(weights)
            : options.Range.Choose(weights, options.Importance, grid);
        return (IntegerCodes.ToHalf(grid.ScaleOf(low, high)), IntegerCodes.ToHalf(low));
    }

    /// <summary>Fits, and rounds the weights to codes.</summary>
    public static (Half Scale, Half Offset) Encode(ReadOnlySpan<float> weights, in FitOptions options, AffineGrid grid, Span<sbyte> codes)
    {
        if (options.Range == DynamicRange.Reference || (options.Range is null && options.Importance.IsEmpty))
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
}
