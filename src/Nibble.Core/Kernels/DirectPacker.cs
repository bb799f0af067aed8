using System.Runtime.Intrinsics;
using Nibble.Core.Memory;

namespace Nibble.Core.Kernels;

/// <summary>
/// Packs formats whose bytes need only be dealt out anew (<see cref="Formats.Format.HasKernelOrder"/>): a block's four-byte
/// pieces go to the steps of a chunk, those of 16 rows side by side. 16 bytes of four rows are turned as a 4 by 4 matrix.
/// </summary>
internal static unsafe class DirectPacker
{
    private const int TileRows = PackedMatrix.TileRows;

    public static void Pack(Weight weight, PackedMatrix matrix, int tile)
    {
        int header = weight.Format.HasOffsets ? 4 : 2, blockBytes = weight.Format.BlockBytes;
        int rows = Math.Min(TileRows, weight.Rows - tile * TileRows);
        byte* source = weight.Data + (nint)tile * TileRows * weight.RowBytes;
        byte* chunk = matrix.Tile(tile);
        // Rows beyond the matrix read the last one again, and get scale and offset zero.
        nint* row = stackalloc nint[TileRows];
        for (int r = 0; r < TileRows; r++) row[r] = Math.Min(r, rows - 1) * weight.RowBytes;
        for (int c = 0; c < matrix.Chunks; c++, source += blockBytes, chunk += matrix.Kernel.RunBytes)
        {
            for (int r = 0; r < TileRows; r++)
            {
                var numbers = (ushort*)(source + row[r]);
                ((ushort*)chunk)[r] = r < rows ? numbers[0] : (ushort)0;
                if (header == 4) ((ushort*)chunk)[TileRows + r] = r < rows ? numbers[1] : (ushort)0;
            }
            byte* codes = chunk + TileRows * header;
            for (int piece = 0; piece < blockBytes - header; piece += 16)
                for (int r = 0; r < TileRows; r += 4)
                    Turn(source + header + piece, row + r, codes + piece * TileRows + r * 4, isBytes: blockBytes - header == 32);
        }
    }

    /// <summary>Lane l of row r becomes lane r of step l; steps are 64 bytes apart.</summary>
    private static void Turn(byte* source, nint* row, byte* target, bool isBytes)
    {
        // Signed bytes become their place among all signed bytes: + 128, which flips the top bit.
        Vector128<uint> flip = Vector128.Create(isBytes ? 0x80808080u : 0);
        Vector128<uint> a = Vector128.Load((uint*)(source + row[0])) ^ flip, b = Vector128.Load((uint*)(source + row[1])) ^ flip;
        Vector128<uint> c = Vector128.Load((uint*)(source + row[2])) ^ flip, d = Vector128.Load((uint*)(source + row[3])) ^ flip;
        Square.Turn(a, b, c, d, target, 64);
    }
}
