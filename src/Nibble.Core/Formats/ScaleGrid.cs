namespace Nibble.Core.Formats;

/// <summary>Integer codes under one scale, as the symmetric formats store them: weight = scale * code.</summary>
internal sealed class ScaleGrid : IQuantizerLevels
{
    /// <summary>Codes -8 to 7 (<see cref="Q4_0"/>).</summary>
    public static readonly ScaleGrid Bits4 = new(-8, 7, extremeIsLowest: true, Spread(0.65f, 1.15f, 8, bothSigns: true));

    /// <summary>Codes -16 to 15 (<see cref="Q5_0"/>).</summary>
    public static readonly ScaleGrid Bits5 = new(-16, 15, extremeIsLowest: true, Spread(0.8f, 1.15f, 16, bothSigns: false));

    /// <summary>Codes -127 to 127 (<see cref="Q8_0"/>).</summary>
    public static readonly ScaleGrid Bits8 = new(-127, 127, extremeIsLowest: false, Spread(0.985f, 1.04f, 16, bothSigns: false));

    /// <summary>Codes -1, 0 and 1 (<see cref="TQ1_0"/>, <see cref="TQ2_0"/>).</summary>
    public static readonly ScaleGrid Ternary = new(-1, 1, extremeIsLowest: false, Spread(0.03f, 1, 24, bothSigns: false));

    /// <summary>Codes -1 to 2 (<see cref="Q2_0"/>).</summary>
    public static readonly ScaleGrid Bits2 = new(-1, 2, extremeIsLowest: false, Spread(0.03f, 1, 24, bothSigns: true), referenceSteps: 1);

    private readonly bool _extremeIsLowest;
    private readonly int _referenceSteps;
    private readonly float[] _trials;

    private ScaleGrid(int lowest, int highest, bool extremeIsLowest, float[] trials, int referenceSteps = 0)
    {
        (Lowest, Highest) = (lowest, highest);
        _extremeIsLowest = extremeIsLowest;
        _referenceSteps = referenceSteps == 0 ? highest : referenceSteps;
        _trials = trials;
    }

    /// <summary>Trial scales of the search, over ggml's own; a multiple of 8.</summary>
    public ReadOnlySpan<float> Trials => _trials;

    /// <summary>So many numbers in equal ratios, and with them perhaps their negatives.</summary>
    public static float[] Spread(float first, float last, int count, bool bothSigns)
    {
        double ratio = Math.Pow(last / first, 1.0 / (count - 1));
        float[] spread = [.. Enumerable.Range(0, count).Select(i => (float)(first * Math.Pow(ratio, i)))];
        return bothSigns ? [.. spread, .. spread.Select(s => -s)] : spread;
    }

    public int Lowest { get; }
    public int Highest { get; }
    public int Count => Highest - Lowest + 1;
    public bool Symmetric => true;

    public float Round(float weight, float low, float high)
    {
        float scale = ScaleOf(low, high);
        return scale * IntegerCodes.Round(weight, scale, 0, Lowest, Highest);
    }

    /// <summary>The scale that lays the codes over a range symmetric about zero.</summary>
    public float ScaleOf(float low, float high) => MathF.Max(-low, high) / (0.5f * (Highest - Lowest));

    /// <summary>
    /// ggml's own scale: the largest weight meets the last code. Where the codes reach further below zero than above, the
    /// scale takes the sign that lands that weight on the lowest.
    /// </summary>
    public float ReferenceScale(ReadOnlySpan<float> weights) =>
        _extremeIsLowest ? IntegerCodes.Extreme(weights) / Lowest : IntegerCodes.LargestMagnitude(weights) / _referenceSteps;

    /// <summary>ggml's own rounding, by a scale that is not yet cut to 16 bits.</summary>
    public void ReferenceCodes(ReadOnlySpan<float> weights, float scale, Span<sbyte> codes)
    {
        float inverse = IntegerCodes.Inverse(scale);
        if (_extremeIsLowest)
        {
            IntegerCodes.Truncate(weights, inverse, 0, 0.5f - Lowest, Count - 1, codes);
            IntegerCodes.Shift(codes, Lowest);
        }
        else
        {
            IntegerCodes.RoundAway(weights, inverse, Lowest, Highest, codes);
        }
    }
}
