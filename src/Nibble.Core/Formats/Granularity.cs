using System.Globalization;

namespace Nibble.Core.Formats;

/// <summary>How many weights share the parameters of a quantizer: a group of a row, a whole row, or the whole tensor.</summary>
/// <param name="Reach">How far the parameters reach.</param>
/// <param name="Size">Weights a group; 0 for a row or a tensor.</param>
public readonly record struct Granularity(Reach Reach, int Size = 0)
{
    public static readonly Granularity Row = new(Reach.Row);
    public static readonly Granularity Tensor = new(Reach.Tensor);

    /// <summary>Groups of this many weights, 2 or more.</summary>
    public static Granularity Group(int size)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(size, 2);
        return new Granularity(Reach.Group, size);
    }

    /// <summary>As it stands in a format's name: <c>g64</c>, <c>row</c>, <c>tensor</c>.</summary>
    public override string ToString() => Reach switch
    {
        Reach.Row => "row",
        Reach.Tensor => "tensor",
        _ => $"g{Size}",
    };

    /// <summary>Reads what <see cref="ToString"/> writes.</summary>
    public static bool TryParse(ReadOnlySpan<char> word, out Granularity granularity)
    {
        granularity = word switch { "row" => Row, "tensor" => Tensor, _ => default };
        if (granularity != default) return true;
        if (!word.StartsWith("g") || !int.TryParse(word[1..], NumberStyles.None, CultureInfo.InvariantCulture, out int size) || size is < 2 or > 1 << 20) return false;
        granularity = Group(size);
        return true;
    }
}

/// <summary>How far parameters reach.</summary>
public enum Reach
{
    Group,
    /// <summary>One output channel.</summary>
    Row,
    Tensor,
}
