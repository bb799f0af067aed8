namespace Nibble.Core.Formats;

/// <summary>
/// What the two-level affine formats store: weight = d * scale * code - dmin * minimum, with an integer scale and minimum
/// a group.
/// </summary>
internal sealed class SuperAffineGrid : IQuantizerLevels
{
    public static readonly SuperAffineGrid Q2_K = new(groupSize: 16, highest: 3, highestScale: 15, [-0.24f, 0.36f, 0.96f]);
    public static readonly SuperAffineGrid Q4_K = new(groupSize: 32, highest: 15, highestScale: 63, [-0.825f, -0.275f, 0.275f, 0.825f]);
    public static readonly SuperAffineGrid Q5_K = new(groupSize: 32, highest: 31, highestScale: 63, [-0.825f, -0.275f, 0.275f, 0.825f]);

    private readonly float[] _firstMoves;

    private SuperAffineGrid(int groupSize, int highest, int highestScale, float[] firstMoves)
    {
        (GroupSize, Highest, HighestScale) = (groupSize, highest, highestScale);
        _firstMoves = firstMoves;
    }

    /// <summary>Trial d and dmin of the search, over those that reach the largest scale and minimum exactly.</summary>
    public static ReadOnlySpan<float> Factors => [1, 1.015f, 1.03f, 1.045f, 1.06f, 1.075f, 1.09f, 1.105f, 1.12f, 1.14f];

    /// <summary>How far inwards of a group's interval the search lets its first ranges begin and end, in codes.</summary>
    public ReadOnlySpan<float> FirstMoves => _firstMoves;

    public int GroupSize { get; }

    /// <summary>Codes reach from 0 to here.</summary>
    public int Highest { get; }

    /// <summary>Scales and minima reach from 0 to here.</summary>
    public int HighestScale { get; }

    public int Count => Highest + 1;
    public bool Symmetric => false;

    public float Round(float weight, float low, float high)
    {
        low = MathF.Min(low, 0);
        float scale = ScaleOf(low, high);
        return scale * IntegerCodes.Round(weight, scale, low, 0, Highest) + low;
    }

    /// <summary>The scale that lays the codes over a range that begins at or below zero.</summary>
    public float ScaleOf(float low, float high) => (MathF.Max(high, 0) - low) / Highest;
}
