using Nibble.Core;

namespace Nibble.Models.Sampling;

/// <summary>
/// How the next token is drawn from the logits. The steps run in llama.cpp's order: repetition penalty, top-k, top-p,
/// min-p, temperature; so the three cuts look at the model's own distribution, and the temperature only flattens what is left.
/// </summary>
public sealed record SamplingOptions
{
    /// <summary>Always the most probable token.</summary>
    public static SamplingOptions Greedy { get; } = new() { Temperature = 0 };

    /// <summary>What the logits are divided by; 0 takes the most probable token.</summary>
    public double Temperature { get; init; } = 0.8;

    /// <summary>Keep only this many of the most probable tokens; 0 keeps all.</summary>
    public int TopK { get; init; } = 40;

    /// <summary>Keep the fewest most probable tokens that together reach this probability; 1 keeps all.</summary>
    public double TopP { get; init; } = 0.95;

    /// <summary>Keep tokens at least this fraction as probable as the most probable one; 0 keeps all.</summary>
    public double MinP { get; init; } = 0.05;

    /// <summary>Divides the positive and multiplies the negative logits of recent tokens; 1 changes nothing (Keskar et al. 2019).</summary>
    public double RepetitionPenalty { get; init; } = 1;

    /// <summary>How many recent tokens the penalty looks at.</summary>
    public int RepetitionWindow { get; init; } = 64;

    /// <summary>The same seed and logits give the same tokens on every machine.</summary>
    public ulong Seed { get; init; }

    /// <exception cref="UnusableInputException">A number is outside its range.</exception>
    public void Validate()
    {
        Require(Temperature >= 0 && double.IsFinite(Temperature), "temperature", Temperature, "0 (greedy) or more");
        Require(TopK >= 0, "top-k", TopK, "0 (off) or more");
        Require(TopP is > 0 and <= 1, "top-p", TopP, "above 0 and at most 1 (off)");
        Require(MinP is >= 0 and <= 1, "min-p", MinP, "between 0 (off) and 1");
        Require(RepetitionPenalty > 0 && double.IsFinite(RepetitionPenalty), "repetition penalty", RepetitionPenalty, "above 0 (1 is off)");
        Require(RepetitionWindow is >= 0 and <= 1 << 20, "repetition window", RepetitionWindow, "between 0 and 1048576");
    }

    private static void Require(bool holds, string name, double value, string right)
    {
        if (!holds) throw new UnusableInputException(FormattableString.Invariant($"{name} is {value}; it must be {right}"));
    }
}
