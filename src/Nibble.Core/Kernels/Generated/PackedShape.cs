using System.Runtime.CompilerServices;
using Nibble.Core.Formats;

namespace Nibble.Core.Kernels.Generated;

/// <summary>How the chunks of a packed matrix lie in memory, as code that is generated must know it.</summary>
/// <param name="CodeBits">Bits a code: 2 to 6, or 8.</param>
/// <param name="IsTable">True if the codes, of 3 or 4 bits, stand for entries of a table.</param>
/// <param name="Numbers">What a scale or offset is stored as.</param>
/// <param name="Parts">Scales of a row in a chunk, 1 or 2.</param>
/// <param name="HasOffsets">Whether rows have offsets too.</param>
/// <param name="HasZeroPoints">Whether these are stored as zero points, a byte each.</param>
/// <param name="ScaleFactor">What scales, or their units, are multiplied by: see <see cref="Format.ScaleFactor"/>.</param>
/// <seealso cref="ICodeLayout"/>
/// <seealso cref="IScaleShape"/>
public readonly record struct PackedShape(
    int CodeBits, bool IsTable, ScaleNumbers Numbers, int Parts, bool HasOffsets, bool HasZeroPoints, float ScaleFactor = 1)
{
    /// <summary>Bytes of a scale or offset.</summary>
    public int NumberBytes => Numbers switch
    {
        ScaleNumbers.Singles => Single32.Size,
        ScaleNumbers.Halves => Half16.Size,
        ScaleNumbers.Units => UnitOne.Size,
        _ => UnitByte.Size,
    };

    /// <summary>True if eight chunks are a run, whose units stand ahead of it.</summary>
    public bool HasUnits => HaveUnits(Numbers);

    /// <summary>True of numbers that are multiples of a unit, or the unit itself.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static bool HaveUnits(ScaleNumbers numbers) => numbers is ScaleNumbers.Multiples or ScaleNumbers.HalfByteMultiples or ScaleNumbers.Units;

    /// <summary>True if a scale and its offset are half a byte each, the scale below.</summary>
    public bool SharesBytes => Numbers == ScaleNumbers.HalfByteMultiples;

    /// <summary>True if a code times its scale, 0 to 15, always fits a byte: both are looked up as one.</summary>
    public bool FoldsScales => SharesBytes && CodeBits == 2;

    /// <summary>True if offsets have sums of their own; zero points are multiplied by the scales with the rest.</summary>
    public bool SumsOffsets => HasOffsets && !HasZeroPoints;

    /// <summary>Bytes of a chunk's scales, or of its offsets where they are numbers alike.</summary>
    public int NumbersBytes => Parts * PackedMatrix.TileRows * NumberBytes;

    /// <summary>Where a chunk's offsets or zero points begin.</summary>
    public int OffsetsAt => SharesBytes ? 0 : NumbersBytes;

    /// <summary>Where a chunk's codes begin.</summary>
    public int CodesAt => NumbersBytes + (HasZeroPoints ? Parts * PackedMatrix.TileRows : HasOffsets && !SharesBytes ? NumbersBytes : 0);

    public int ChunkBytes => CodesAt + 64 * CodeBits;

    /// <summary>Bytes of a run's units.</summary>
    public int UnitsBytes => !HasUnits ? 0 : (HasOffsets ? 2 : 1) * PackedMatrix.TileRows * Half16.Size;
}
