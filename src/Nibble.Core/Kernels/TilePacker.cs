using Nibble.Core.Formats;
using Nibble.Core.Memory;

namespace Nibble.Core.Kernels;

/// <summary>Turns rows of a stored weight into tiles of a packed one, through the format's integer form.</summary>
internal sealed unsafe class TilePacker
{
    private const int Chunk = Activation.Chunk;

    private readonly Weight _weight;
    private readonly PackedMatrix _matrix;
    private readonly Format _format;
    private readonly byte[] _codeOfLevel;

    // One tile: its codes a byte each, chunk by chunk in the order of ICodeLayout, and its scales and offsets [chunk, part, row].
    private readonly byte[] _codes;
    private readonly float[] _scales;
    private readonly float[] _offsets;

    private readonly sbyte[] _blockLevels;
    private readonly float[] _blockScales;
    private readonly float[] _blockOffsets;

    public TilePacker(Weight weight, PackedMatrix matrix)
    {
        _weight = weight;
        _matrix = matrix;
        _format = weight.Format;
        _codeOfLevel = PackedKernel.CodeOfLevel(_format);
        _codes = new byte[matrix.Chunks * Chunk * PackedMatrix.TileRows];
        _scales = new float[matrix.Chunks * matrix.Kernel.Parts * PackedMatrix.TileRows];
        _offsets = new float[_scales.Length];
        _blockLevels = new sbyte[_format.BlockSize];
        _blockScales = new float[_format.BlockSize / _format.Group];
        _blockOffsets = new float[_blockScales.Length];
    }

    public void Pack(int tile)
    {
        // Rows and columns beyond the matrix have scale 0; their codes are level 0's where the format has that level.
        Array.Fill(_codes, _codeOfLevel[128]);
        Array.Clear(_scales);
        Array.Clear(_offsets);
        int first = tile * PackedMatrix.TileRows;
        int rows = Math.Min(PackedMatrix.TileRows, _weight.Rows - first);
        for (int r = 0; r < rows; r++) ReadRow(_weight.Row(first + r), r);
        byte* at = _matrix.Tile(tile);
        int numbers = _matrix.Kernel.Parts * PackedMatrix.TileRows;
        for (int chunk = 0; chunk < _matrix.Chunks; chunk++, at += _matrix.Kernel.ChunkBytes)
            _matrix.Kernel.PackChunk(
                _codes.AsSpan(chunk * 512, 512), _scales.AsSpan(chunk * numbers, numbers), _offsets.AsSpan(chunk * numbers, numbers), at);
    }

    private void ReadRow(ReadOnlySpan<byte> row, int r)
    {
        int blockBytes = _format.BlockBytes, blockSize = _format.BlockSize;
        for (int column = 0, at = 0; column < _matrix.Columns; column += blockSize, at += blockBytes)
        {
            _format.Unpack(row.Slice(at, blockBytes), _blockLevels, _blockScales, _blockOffsets);
            PutCodes(column, r);
            PutScales(column, r);
        }
    }

    private void PutCodes(int column, int r)
    {
        for (int i = 0; i < _blockLevels.Length; i++)
        {
            int c = column + i;
            // Step (c / 4) is 64 bytes, row r's four columns are bytes 4 r to 4 r + 3 of it.
            _codes[(c >> 2) * 64 + r * 4 + (c & 3)] = _codeOfLevel[_blockLevels[i] + 128];
        }
    }

    private void PutScales(int column, int r)
    {
        int parts = _matrix.Kernel.Parts, width = Chunk / parts;
        for (int i = 0; i < _blockLevels.Length; i += Math.Min(width, _format.Group))
        {
            int at = (column + i) / width * PackedMatrix.TileRows + r;
            _scales[at] = _blockScales[i / _format.Group];
            _offsets[at] = _blockOffsets[i / _format.Group];
        }
    }
}
