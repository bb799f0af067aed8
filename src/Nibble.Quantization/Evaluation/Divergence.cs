namespace Nibble.Quantization.Evaluation;

/// <summary>How far a model's predictions lie from a reference's: KL(reference || model) in nats, over the scored tokens.</summary>
/// <param name="Mean">Over all scored tokens.</param>
/// <param name="Median">Half of the tokens are nearer.</param>
/// <param name="P99">99 % of the tokens are nearer.</param>
/// <param name="P999">99.9 % of the tokens are nearer.</param>
/// <param name="Max">The worst token.</param>
/// <param name="Top1Agreement">The share of tokens where both think the same token likeliest, 0 to 1.</param>
public sealed record Divergence(double Mean, double Median, double P99, double P999, double Max, double Top1Agreement)
{
    public static Divergence Of(IEnumerable<double> divergences, double top1Agreement)
    {
        double[] sorted = [.. divergences.Order()];
        return new Divergence(sorted.Sum() / sorted.Length, Quantile(sorted, 0.5), Quantile(sorted, 0.99), Quantile(sorted, 0.999),
            sorted[^1], top1Agreement);
    }

    /// <summary>The value below which a share of the sorted values lies, interpolated between neighbours.</summary>
    private static double Quantile(double[] sorted, double share)
    {
        double at = share * (sorted.Length - 1);
        int below = (int)at;
        double part = at - below;
        return (1 - part) * sorted[below] + part * sorted[Math.Min(below + 1, sorted.Length - 1)];
    }
}
