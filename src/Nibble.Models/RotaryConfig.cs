namespace Nibble.Models;

/// <summary>The rotary embedding of a layer.</summary>
public sealed record RotaryConfig
{
    /// <summary>The base of the frequencies: pair i turns by Theta^(-2i / Dimensions) radians a position.</summary>
    public required double Theta { get; init; }

    /// <summary>The numbers of a head that are turned, from its first on.</summary>
    public required int Dimensions { get; init; }

    /// <summary>Pairs are neighbours (2i, 2i + 1); else the halves (i, i + Dimensions / 2).</summary>
    public bool Interleaved { get; init; }

    /// <summary>How a longer context than trained was fitted; null is not at all.</summary>
    public RotaryScaling? Scaling { get; init; }

    /// <summary>True if the angles depend on how many tokens there are.</summary>
    public bool DependsOnLength => Scaling is DynamicScaling or LongRopeScaling;

    /// <summary>
    /// The length of text past which the angles of all tokens change, so that keys stored before are wrong (LongRoPE), or
    /// null.
    /// </summary>
    public int? SwitchLength => Scaling is LongRopeScaling longRope ? longRope.OriginalContext : null;

    /// <summary>The frequencies for a text of so many tokens: radians a position for each pair.</summary>
    /// <param name="inverse">One number a pair, overwritten.</param>
    /// <returns>What multiplies cosines and sines.</returns>
    public float Frequencies(int tokens, Span<float> inverse)
    {
        Span<double> exact = inverse.Length <= 512 ? stackalloc double[inverse.Length] : new double[inverse.Length];
        double theta = Scaling?.Theta(Theta, Dimensions, tokens) ?? Theta;
        for (int i = 0; i < exact.Length; i++) exact[i] = Math.Pow(theta, -2.0 * i / Dimensions);
        double magnitude = Scaling?.Apply(exact, Theta, tokens) ?? 1;
        for (int i = 0; i < exact.Length; i++) inverse[i] = (float)exact[i];
        return (float)magnitude;
    }
}

/// <summary>A change of the frequencies that fits a longer context.</summary>
public abstract record RotaryScaling
{
    /// <summary>The base in use for a text of so many tokens.</summary>
    public virtual double Theta(double theta, int dimensions, int tokens) => theta;

    /// <summary>Changes the frequencies and returns what multiplies cosines and sines.</summary>
    public virtual double Apply(Span<double> inverse, double theta, int tokens) => 1;
}

/// <summary>Positions are divided by a factor (kaiokendev; Chen et al., arXiv:2306.15595).</summary>
public sealed record LinearScaling(double Factor) : RotaryScaling
{
    public override double Apply(Span<double> inverse, double theta, int tokens)
    {
        for (int i = 0; i < inverse.Length; i++) inverse[i] /= Factor;
        return 1;
    }
}

/// <summary>The base grows with the text once it is longer than trained (NTK-aware, dynamic).</summary>
public sealed record DynamicScaling(double Factor, int OriginalContext) : RotaryScaling
{
    public override double Theta(double theta, int dimensions, int tokens)
    {
        double length = Math.Max(tokens, OriginalContext);
        return theta * Math.Pow(Factor * length / OriginalContext - (Factor - 1), dimensions / (dimensions - 2.0));
    }
}

/// <summary>Llama 3.1: low frequencies are divided by a factor, high ones kept, those between interpolated.</summary>
public sealed record Llama3Scaling(double Factor, double LowFrequency, double HighFrequency, int OriginalContext) : RotaryScaling
{
    public override double Apply(Span<double> inverse, double theta, int tokens)
    {
        for (int i = 0; i < inverse.Length; i++)
        {
            double turns = OriginalContext * inverse[i] / (2 * Math.PI);
            double kept = Math.Clamp((turns - LowFrequency) / (HighFrequency - LowFrequency), 0, 1);
            inverse[i] *= (1 - kept) / Factor + kept;
        }
        return 1;
    }
}

/// <summary>YaRN (Peng et al., arXiv:2309.00071): interpolation by parts, and sharper attention.</summary>
public sealed record YarnScaling(double Factor, int OriginalContext) : RotaryScaling
{
    /// <summary>Pairs that turn more often than this over the original context keep their frequency.</summary>
    public double BetaFast { get; init; } = 32;

    /// <summary>Pairs that turn less often are divided by the factor.</summary>
    public double BetaSlow { get; init; } = 1;

    /// <summary>Multiplies cosines and sines.</summary>
    public required double Magnitude { get; init; }

    /// <summary>The ends of the ramp are rounded to whole pairs.</summary>
    public bool Truncate { get; init; } = true;

    public override double Apply(Span<double> inverse, double theta, int tokens)
    {
        int dimensions = 2 * inverse.Length;
        double low = PairOfTurns(BetaFast, dimensions, theta), high = PairOfTurns(BetaSlow, dimensions, theta);
        if (Truncate) (low, high) = (Math.Floor(low), Math.Ceiling(high));
        (low, high) = (Math.Max(low, 0), Math.Min(high, dimensions - 1));
        if (low == high) high += 0.001;
        for (int i = 0; i < inverse.Length; i++)
        {
            double interpolated = Math.Clamp((i - low) / (high - low), 0, 1);
            inverse[i] *= interpolated / Factor + (1 - interpolated);
        }
        return Magnitude;
    }

    /// <summary>The paper's sharpening for a factor.</summary>
    public static double Sharpening(double factor, double weight = 1) => factor <= 1 ? 1 : 0.1 * weight * Math.Log(factor) + 1;

    private double PairOfTurns(double turns, int dimensions, double theta) =>
        dimensions * Math.Log(OriginalContext / (turns * 2 * Math.PI)) / (2 * Math.Log(theta));
}

/// <summary>LongRoPE (Ding et al., arXiv:2402.13753): a divisor for each pair, one set for short texts and one for long.</summary>
public sealed record LongRopeScaling(IReadOnlyList<float> Short, IReadOnlyList<float> Long, int OriginalContext) : RotaryScaling
{
    /// <summary>Multiplies cosines and sines.</summary>
    public required double Magnitude { get; init; }

    public override double Apply(Span<double> inverse, double theta, int tokens)
    {
        IReadOnlyList<float> divisors = tokens > OriginalContext ? Long : Short;
        for (int i = 0; i < inverse.Length; i++) inverse[i] /= divisors[i];
        return Magnitude;
    }
}

/// <summary>A divisor for each pair, as GGUF's <c>rope_freqs</c> holds them.</summary>
public sealed record DivisorScaling(IReadOnlyList<float> Divisors) : RotaryScaling
{
    public override double Apply(Span<double> inverse, double theta, int tokens)
    {
        for (int i = 0; i < inverse.Length; i++) inverse[i] /= Divisors[i];
        return 1;
    }
}
