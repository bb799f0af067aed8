using Nibble.Core.Memory;

namespace Nibble.Core.Kernels;

/// <summary>Turns 16 rows of a stored weight into a tile of a packed one.</summary>
internal unsafe interface ITilePacker
{
    /// <summary>Writes a tile.</summary>
    /// <param name="weight">A weight of the packer's format, all of the matrix or some of its rows.</param>
    /// <param name="first">The tile's first row in it.</param>
    /// <param name="at"><see cref="PackedMatrix.TileBytes"/> bytes.</param>
    void Pack(Weight weight, int first, byte* at);
}
