using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>Chooses the scales of a block of 16 groups, and the 16-bit number that they are multiples of.</summary>
internal static class SuperScaleFit
{
    [SkipLocalsInit]
    public static Half Fit(ReadOnlySpan<float> weights, in FitOptions options, SuperScaleGrid grid, Span<sbyte> scales)
    {
        if (options.Range is null || options.Range == DynamicRange.Reference)
        {
            var block = new SuperBlockLanes(weights, options.Importance, SuperScaleGrid.GroupSize, stackalloc Vector256<float>[SuperBlockLanes.Vectors]);
            return new SuperScaleSearch(block, grid).Run(scales);
        }
        Span<float> exact = stackalloc float[SuperScaleGrid.Groups];
        for (int g = 0; g < exact.Length; g++)
        {
            ReadOnlySpan<float> group = weights.Slice(g * SuperScaleGrid.GroupSize, SuperScaleGrid.GroupSize);
            FitOptions part = options.Slice(g * SuperScaleGrid.GroupSize, SuperScaleGrid.GroupSize);
            (float low, float high) = options.Range.Choose(group, part.Importance, grid);
            exact[g] = grid.ScaleOf(low, high);
        }
        Half d = IntegerCodes.ToHalf(IntegerCodes.LargestMagnitude(exact) / grid.HighestScale);
        for (int g = 0; g < exact.Length; g++)
            scales[g] = (sbyte)IntegerCodes.Round(exact[g], (float)d, 0, 0, grid.HighestScale);
        return d;
    }
}
