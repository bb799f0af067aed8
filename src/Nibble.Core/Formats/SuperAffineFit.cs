using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>Chooses the scales and minima of a block of groups, and the 16-bit numbers that they are multiples of.</summary>
internal static class SuperAffineFit
{
    [SkipLocalsInit]
    public static (Half D, Half DMin) Fit(ReadOnlySpan<float> weights, in FitOptions options, SuperAffineGrid grid,
        Span<byte> scales, Span<byte> minima)
    {
        if (options.Range is null || options.Range == DynamicRange.Reference)
        {
            var block = new SuperBlockLanes(weights, options.Importance, grid.GroupSize, stackalloc Vector256<float>[SuperBlockLanes.Vectors]);
            return new SuperAffineSearch(block, grid).Run(scales, minima);
        }
        Span<float> exactScales = stackalloc float[scales.Length], exactMinima = stackalloc float[scales.Length];
        for (int g = 0; g < scales.Length; g++)
        {
            FitOptions part = options.Slice(g * grid.GroupSize, grid.GroupSize);
            (float low, float high) = options.Range.Choose(weights.Slice(g * grid.GroupSize, grid.GroupSize), part.Importance, grid);
            low = MathF.Min(low, 0);
            exactScales[g] = grid.ScaleOf(low, high);
            exactMinima[g] = -low;
        }
        return (Store(exactScales, grid, scales), Store(exactMinima, grid, minima));
    }

    private static Half Store(ReadOnlySpan<float> exact, SuperAffineGrid grid, Span<byte> stored)
    {
        Half d = IntegerCodes.ToHalf(IntegerCodes.LargestMagnitude(exact) / grid.HighestScale);
        for (int g = 0; g < exact.Length; g++)
            stored[g] = (byte)IntegerCodes.Round(exact[g], (float)d, 0, 0, grid.HighestScale);
        return d;
    }
}
