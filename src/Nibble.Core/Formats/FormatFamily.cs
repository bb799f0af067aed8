namespace Nibble.Core.Formats;

/// <summary>How a format's levels lie on the number line (or in space).</summary>
public enum FormatFamily
{
    /// <summary>IEEE and other floating-point numbers, stored one by one.</summary>
    Float,
    /// <summary>Equal steps: scale times code, perhaps plus a minimum.</summary>
    Linear,
    /// <summary>Equal steps of the logarithm: powers, and sums of powers.</summary>
    Logarithmic,
    /// <summary>A fixed table of unequal levels (IQ4_NL, NF4, FP4).</summary>
    Table,
    /// <summary>One code for several weights at once: a learned codebook or a fixed lattice.</summary>
    Vector,
    /// <summary>A path through a trellis codes a run of weights.</summary>
    Trellis,
}
