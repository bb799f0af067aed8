using System.Numerics.Tensors;
using Nibble.Core.Formats;

namespace Nibble.Quantization.Ranges;

/// <summary>
/// The threshold whose clipped and quantized histogram of magnitudes diverges least from the true one (Kullback-Leibler),
/// after Migacz, "8-bit inference with TensorRT" (GTC 2017): candidates grow from as many bins as there are levels; the
/// clipped tail joins the last bin of the reference; the quantized histogram spreads each level evenly over the bins of it
/// that were not empty.
/// </summary>
/// <remarks>A group of few weights fills few bins, so there are as many bins as weights, up to 2048.</remarks>
public sealed class EntropyRange : DynamicRange
{
    private const int MostBins = 2048;

    public override string Name => "entropy";

    public override (float Low, float High) Choose(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, IQuantizerLevels levels)
    {
        (float low, float high) = RangeSearch.Extremes(weights, levels);
        float reach = Math.Max(Math.Abs(low), Math.Abs(high));
        int magnitudes = Math.Max(2, levels.Count / 2);
        int bins = Math.Clamp(weights.Length, 2 * magnitudes, MostBins);
        float width = reach / bins;
        if (!(width > 0)) return (low, high);

        var histogram = new double[bins];
        foreach (float w in weights) histogram[Math.Min(bins - 1, (int)(Math.Abs(w) / width))]++;
        float threshold = LeastDivergence(histogram, magnitudes) * width;
        return (Math.Max(low, -threshold), Math.Min(high, threshold));
    }

    /// <summary>The number of bins to keep.</summary>
    private static int LeastDivergence(double[] histogram, int magnitudes)
    {
        int best = histogram.Length, step = Math.Max(1, histogram.Length / 256);
        double least = double.PositiveInfinity;
        double tail = TensorPrimitives.Sum<double>(histogram.AsSpan(magnitudes));
        var quantized = new double[histogram.Length];
        for (int kept = magnitudes; kept <= histogram.Length; kept += step)
        {
            double divergence = Divergence(histogram.AsSpan(0, kept), tail, magnitudes, quantized.AsSpan(0, kept));
            if (divergence < least) (least, best) = (divergence, kept);
            tail -= TensorPrimitives.Sum<double>(histogram.AsSpan(kept, Math.Min(step, histogram.Length - kept)));
        }
        return best;
    }

    /// <summary>
    /// The divergence of the reference (the kept bins, the tail added to the last) from its quantized form, both as
    /// distributions. A bin that the quantized form leaves empty but the reference does not counts one weight's worth there.
    /// </summary>
    private static double Divergence(ReadOnlySpan<double> kept, double tail, int magnitudes, Span<double> quantized)
    {
        double quantizedTotal = 0, total = TensorPrimitives.Sum(kept) + tail;
        for (int m = 0; m < magnitudes; m++)
        {
            int from = (int)((long)kept.Length * m / magnitudes), to = (int)((long)kept.Length * (m + 1) / magnitudes);
            double sum = 0;
            int filled = 0;
            for (int b = from; b < to; b++)
            {
                sum += kept[b];
                if (kept[b] > 0) filled++;
            }
            for (int b = from; b < to; b++) quantized[b] = kept[b] > 0 ? sum / filled : 0;
            quantizedTotal += sum;
        }
        if (quantizedTotal == 0) return double.PositiveInfinity;
        double divergence = 0;
        for (int b = 0; b < kept.Length; b++)
        {
            double p = (kept[b] + (b == kept.Length - 1 ? tail : 0)) / total;
            if (p == 0) continue;
            double q = (quantized[b] > 0 ? quantized[b] : 1) / quantizedTotal;
            divergence += p * Math.Log(p / q);
        }
        return divergence;
    }
}
