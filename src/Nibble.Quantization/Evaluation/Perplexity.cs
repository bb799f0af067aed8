namespace Nibble.Quantization.Evaluation;

/// <summary>
/// Perplexity from the negative log-likelihoods of the scored tokens, with the standard error that llama.cpp's
/// llama-perplexity prints.
/// </summary>
/// <param name="Value">exp of the mean.</param>
/// <param name="Error">One standard error of <paramref name="Value"/>.</param>
/// <param name="MeanNll">Nats a token.</param>
/// <param name="Tokens">How many were scored.</param>
public sealed record Perplexity(double Value, double Error, double MeanNll, long Tokens)
{
    public static Perplexity Of(IReadOnlyCollection<double> nll)
    {
        double count = nll.Count;
        double mean = nll.Sum() / count;
        double variance = nll.Sum(x => x * x) / count - mean * mean;
        double meanError = count > 1 && variance > 0 ? Math.Sqrt(variance / (count - 1)) : 0;
        double value = Math.Exp(mean);
        return new Perplexity(value, meanError * value, mean, nll.Count);
    }
}
