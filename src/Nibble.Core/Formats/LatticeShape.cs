namespace Nibble.Core.Formats;

/// <summary>How a lattice format stores what is not in the lattice: signs, or a shift of all points.</summary>
internal enum LatticeSigns
{
    /// <summary>A sign for each weight.</summary>
    Free,
    /// <summary>Seven signs for eight weights, an even number negative.</summary>
    Even,
    /// <summary>The lattice has the signs; all its points are shifted up or down, one choice for eight weights.</summary>
    ShiftOfEight,
    /// <summary>As before, one choice for all weights that share a scale.</summary>
    ShiftOfGroup,
}

/// <summary>What the lattice formats have in common: 256 weights, a 16-bit d, and groups with scales d * unit * (2 l + 1).</summary>
/// <param name="Lattice">The points; those that are shifted up.</param>
/// <param name="Down">The points that are shifted down, where there is a shift.</param>
/// <param name="Signs">How signs are stored.</param>
/// <param name="Group">Weights that share a scale.</param>
/// <param name="ScaleCount">Scales l from 0 below this.</param>
/// <param name="Unit">A scale in units of d is this times an odd number.</param>
/// <param name="TypicalNorm">The root mean square of the coordinates of points in use, to start the search.</param>
internal sealed record LatticeShape(
    Lattice Lattice, Lattice? Down, LatticeSigns Signs, int Group, int ScaleCount, float Unit, float TypicalNorm)
{
    /// <summary>Codes that are chosen together: eight weights, or a whole group where it has one shift.</summary>
    public int UnitSize => Signs == LatticeSigns.ShiftOfGroup ? Group : 8;

    /// <summary>Hulls whose errors add up to that of a unit.</summary>
    public int HullsPerUnit => UnitSize / Lattice.Dimensions;
}
