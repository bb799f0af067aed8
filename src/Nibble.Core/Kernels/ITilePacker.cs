namespace Nibble.Core.Kernels;

/// <summary>Turns 16 rows of a stored weight into a tile of a packed one.</summary>
internal unsafe interface ITilePacker
{
    /// <summary>Writes a tile.</summary>
    /// <param name="tile">Its number: rows from 16 times that on.</param>
    /// <param name="at"><see cref="PackedMatrix.TileBytes"/> bytes.</param>
    void Pack(int tile, byte* at);
}
