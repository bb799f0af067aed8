using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Nibble.Core.Formats;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;

namespace Nibble.Core.Kernels;

/// <summary>
/// Packs formats that say where the bits of their codes lie (<see cref="Format.CodePlanes"/>), 16 blocks under each other at a
/// time and never a code by itself: four-byte pieces of the rows go side by side to the steps of a chunk, and where a byte holds
/// codes of several chunks, bits are then exchanged between whole vectors. The bytes are those of <see cref="TilePacker"/>.
/// </summary>
internal sealed unsafe class DirectPacker : ITilePacker
{
    private const int TileRows = PackedMatrix.TileRows;

    /// <summary>A piece of 16 bytes of 16 rows.</summary>
    private const int PieceBytes = 16 * TileRows;

    private readonly PackedMatrix _matrix;
    private readonly CodePlanes[] _planes;
    private readonly int _blockBytes, _blockRuns;
    private readonly PackedShape _shape;
    private readonly UnitNumbers? _units;

    public DirectPacker(PackedMatrix matrix, Format format)
    {
        _matrix = matrix;
        _planes = [.. format.CodePlanes];
        _blockBytes = format.BlockBytes;
        _blockRuns = format.BlockSize / (Activation.Chunk * matrix.Kernel.RunChunks);
        _shape = matrix.Kernel.Shape;
        if (format.HasUnits) _units = new UnitNumbers(format, _shape);
    }

    public static bool CanPack(Format format) => format.CodePlanes.Count > 0;

    public void Pack(Weight weight, int first, byte* at)
    {
        int rows = Math.Min(TileRows, weight.Rows - first);
        byte** blocks = stackalloc byte*[TileRows];
        byte* nothing = stackalloc byte[_blockBytes];
        Clear(new Span<byte>(nothing, _blockBytes));
        for (int r = 0; r < TileRows; r++) blocks[r] = r < rows ? weight.Data + (first + r) * weight.RowBytes : nothing;
        byte* next = weight.Data + (first + TileRows) * weight.RowBytes;
        for (nint left = weight.RowBytes; left > 0; left -= _blockBytes, at += _blockRuns * _matrix.Kernel.RunBytes)
        {
            if (_units is not null) _units.Pack(blocks, rows, at);
            else CopyHalves(blocks, (ushort*)at);
            PackCodes(blocks, at + _shape.UnitsBytes + _shape.CodesAt);
            for (int r = 0; r < rows; r++) blocks[r] += _blockBytes;
            // The next tile: 16 rows are more than the processor reads ahead of.
            CacheLines.Ask(next, TileRows * _blockBytes);
            next += TileRows * _blockBytes;
        }
    }

    /// <summary>A block for rows beyond the matrix: numbers and codes are 0.</summary>
    private void Clear(Span<byte> block)
    {
        block.Clear();
        if (_planes is [{ Bits: 8 } bytes]) block[bytes.At..].Fill(128);
    }

    /// <summary>A block that is one chunk begins with a scale, and an offset if it has one.</summary>
    private void CopyHalves(byte** blocks, ushort* numbers)
    {
        for (int r = 0; r < TileRows; r++)
        {
            numbers[r] = ((ushort*)blocks[r])[0];
            if (_shape.HasOffsets) numbers[TileRows + r] = ((ushort*)blocks[r])[1];
        }
    }

    /// <param name="blocks">16 blocks.</param>
    /// <param name="codes">Those of the first chunk.</param>
    private void PackCodes(byte** blocks, byte* codes)
    {
        foreach (CodePlanes planes in _planes)
        {
            int chunks = planes.Run * 8 / (planes.Bits * Activation.Chunk);
            byte* target = codes;
            for (int at = planes.At, left = _matrix.Kernel.RunChunks * _blockRuns; left > 0; left -= chunks, at += planes.Run, target += chunks * _shape.ChunkBytes)
                PackRun(blocks, at, planes, target);
            codes += 64 * planes.Bits;
        }
    }

    [SkipLocalsInit]
    private void PackRun(byte** blocks, int at, CodePlanes planes, byte* target)
    {
        bool inOrder = planes.Run * 8 == planes.Bits * Activation.Chunk;
        byte* scratch = stackalloc byte[4 * PieceBytes], turned = inOrder ? target : scratch;
        // Signed bytes become their place among all signed bytes: + 128, which flips the top bit.
        var flip = Vector128.Create(planes.Bits == 8 ? 0x80808080u : 0);
        for (int from = at, end = at + planes.Run, to = 0; from < end; from += 16, to += PieceBytes)
            for (int r = 0; r < TileRows; r += 4)
                Square.Turn(
                    Load(blocks[r], from) ^ flip, Load(blocks[r + 1], from) ^ flip, Load(blocks[r + 2], from) ^ flip, Load(blocks[r + 3], from) ^ flip,
                    turned + to + r * 4, 64);
        if (inOrder) return;
        if (planes.Bits == 4) BitSquare.TurnNibbles(turned, planes.Run / Activation.Chunk, target, _shape.ChunkBytes);
        else if (planes.Bits == 2) BitSquare.TurnPairs(turned, target, _shape.ChunkBytes);
        else BitSquare.TurnBits(turned, target, _shape.ChunkBytes);

        static Vector128<uint> Load(byte* block, int from) => Vector128.Load((uint*)(block + from));
    }
}
