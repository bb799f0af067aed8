namespace Nibble.Core.Formats;

/// <summary>What the two-level symmetric formats store: weight = d * scale * code, with an integer scale a group.</summary>
internal sealed class SuperScaleGrid : IQuantizerLevels
{
    // At 3 bits it matters which sign of the scale gets the extra code, and clipping pays; at 6 bits neither does.
    public static readonly SuperScaleGrid Q3_K = new(lowest: -4, lowestScale: -32, ScaleGrid.Spread(0.5f, 1.25f, 16, bothSigns: true));
    public static readonly SuperScaleGrid Q6_K = new(lowest: -32, lowestScale: -128, ScaleGrid.Spread(0.88f, 1.26f, 20, bothSigns: false));

    private readonly float[] _trials;

    private SuperScaleGrid(int lowest, int lowestScale, float[] trials)
    {
        (Lowest, LowestScale) = (lowest, lowestScale);
        _trials = trials;
    }

    /// <summary>Trial scales of the search, over that which lands the largest weight on the lowest code.</summary>
    public ReadOnlySpan<float> Trials => _trials;

    /// <summary>Trial d of the search, over that which reaches the largest scale exactly.</summary>
    public static ReadOnlySpan<float> Factors => [0.985f, 1, 1.012f, 1.024f, 1.036f, 1.048f, 1.06f, 1.075f, 1.09f, 1.105f];

    public const int Groups = 16, GroupSize = 16;

    /// <summary>Codes reach from here to -Lowest - 1.</summary>
    public int Lowest { get; }
    public int Highest => -Lowest - 1;

    /// <summary>Scales reach from here to -LowestScale - 1.</summary>
    public int LowestScale { get; }
    public int HighestScale => -LowestScale - 1;

    public int Count => -2 * Lowest;
    public bool Symmetric => true;

    public float Round(float weight, float low, float high)
    {
        float scale = ScaleOf(low, high);
        return scale * IntegerCodes.Round(weight, scale, 0, Lowest, Highest);
    }

    public float ScaleOf(float low, float high) => MathF.Max(-low, high) / (0.5f * (Highest - Lowest));
}
