namespace Nibble.Core.Formats;

/// <summary>What the two-level symmetric formats store: weight = d * scale * code, with an integer scale a group.</summary>
internal sealed class SuperScaleGrid : IQuantizerLevels
{
    public static readonly SuperScaleGrid Q3_K = new(lowest: -4, lowestScale: -32);
    public static readonly SuperScaleGrid Q6_K = new(lowest: -32, lowestScale: -128);

    private SuperScaleGrid(int lowest, int lowestScale) => (Lowest, LowestScale) = (lowest, lowestScale);

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
