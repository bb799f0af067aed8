namespace Nibble.Core.Formats;

/// <summary>Integer codes 0 to <see cref="Highest"/> above an offset: weight = scale * code + offset.</summary>
internal sealed class AffineGrid : IQuantizerLevels
{
    /// <summary>Codes 0 to 3 (<see cref="Q2_K"/>).</summary>
    public static readonly AffineGrid Bits2 = new(3);

    /// <summary>Codes 0 to 15 (<see cref="Q4_1"/>, <see cref="Q4_K"/>).</summary>
    public static readonly AffineGrid Bits4 = new(15);

    /// <summary>Codes 0 to 31 (<see cref="Q5_1"/>, <see cref="Q5_K"/>).</summary>
    public static readonly AffineGrid Bits5 = new(31);

    private AffineGrid(int highest) => Highest = highest;

    public int Highest { get; }
    public int Count => Highest + 1;
    public bool Symmetric => false;

    public float Round(float weight, float low, float high)
    {
        float scale = ScaleOf(low, high);
        return scale * IntegerCodes.Round(weight, scale, low, 0, Highest) + low;
    }

    /// <summary>The scale that lays the codes over a range; its low end is the offset.</summary>
    public float ScaleOf(float low, float high) => (high - low) / Highest;
}
