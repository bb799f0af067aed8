using System.Runtime.Intrinsics;
using Nibble.Core.Formats;
using Nibble.Core.Memory;

namespace Nibble.Core.Kernels;

/// <summary>
/// Turns rows of a stored weight into tiles of a packed one, through the format's integer form: a stretch of columns at a
/// time, so that its 16 rows stay in the first cache.
/// </summary>
internal sealed unsafe class TilePacker
{
    private const int Chunk = Activation.Chunk;
    private const int TileRows = PackedMatrix.TileRows;
    private const int StretchColumns = 256;

    private readonly Weight _weight;
    private readonly PackedMatrix _matrix;
    private readonly Format _format;
    private readonly int _stretch;
    private readonly int _partWidth;
    private readonly byte[] _codeOfLevel;
    private readonly sbyte? _firstLevel;

    // A stretch of a row as the format unpacks it.
    private readonly sbyte[] _levels;
    private readonly float[] _rowScales;
    private readonly float[] _rowOffsets;

    // A stretch of the tile: codes a byte each, chunk by chunk in the order of ICodeLayout; scales and offsets [chunk, part, row].
    private readonly byte[] _codes;
    private readonly float[] _scales;
    private readonly float[] _offsets;

    // [run, 2, row]
    private readonly float[] _units;

    public TilePacker(Weight weight, PackedMatrix matrix)
    {
        _weight = weight;
        _matrix = matrix;
        _format = weight.Format;
        _codeOfLevel = PackedKernel.CodeOfLevel(_format, out _firstLevel);
        _partWidth = Chunk / matrix.Kernel.Parts;
        int unit = _format.BlockSize % Chunk == 0 ? _format.BlockSize : _format.BlockSize * 2;
        _stretch = Math.Max(unit, StretchColumns / unit * unit);
        _levels = new sbyte[_stretch];
        _rowScales = new float[_stretch / _format.Group];
        _rowOffsets = new float[_rowScales.Length];
        _codes = new byte[_stretch * TileRows];
        _scales = new float[_stretch / _partWidth * TileRows];
        _offsets = new float[_scales.Length];
        _units = new float[_stretch / (Chunk * matrix.Kernel.RunChunks) * 2 * TileRows];
    }

    public PackedMatrix Matrix => _matrix;

    /// <summary>Writes a tile.</summary>
    public void Pack(int tile, byte* at)
    {
        int first = tile * TileRows;
        int rows = Math.Min(TileRows, _weight.Rows - first);
        if (rows < TileRows || _matrix.Columns % _stretch != 0) Clear();
        for (int column = 0; column < _matrix.Columns; column += _stretch)
        {
            int columns = Math.Min(_stretch, _matrix.Columns - column);
            if (columns < _stretch) Clear();
            for (int r = 0; r < rows; r++) ReadRow(first + r, r, column, columns);
            at = Write(at, (columns + Chunk - 1) / Chunk);
        }
    }

    /// <summary>Rows and columns beyond the matrix have scale 0, so their codes do not matter.</summary>
    private void Clear()
    {
        Array.Clear(_codes);
        Array.Clear(_scales);
        Array.Clear(_offsets);
        Array.Clear(_units);
    }

    private byte* Write(byte* at, int chunks)
    {
        PackedKernel kernel = _matrix.Kernel;
        int runCodes = kernel.RunChunks * Chunk * TileRows, runNumbers = kernel.RunChunks * kernel.Parts * TileRows;
        for (int run = 0; run < chunks / kernel.RunChunks; run++, at += kernel.RunBytes)
            kernel.PackRun(
                _codes.AsSpan(run * runCodes, runCodes), _scales.AsSpan(run * runNumbers, runNumbers),
                _offsets.AsSpan(run * runNumbers, runNumbers), _units.AsSpan(run * 2 * TileRows, 2 * TileRows), at);
        return at;
    }

    private void ReadRow(int row, int r, int column, int columns)
    {
        int blocks = columns / _format.BlockSize, groups = _format.BlockSize / _format.Group;
        byte* at = _weight.Data + row * _weight.RowBytes + (nint)(column / _format.BlockSize) * _format.BlockBytes;
        for (int b = 0; b < blocks; b++, at += _format.BlockBytes)
        {
            var block = new ReadOnlySpan<byte>(at, _format.BlockBytes);
            _format.Unpack(
                block, _levels.AsSpan(b * _format.BlockSize, _format.BlockSize),
                _rowScales.AsSpan(b * groups, groups), _rowOffsets.AsSpan(b * groups, groups));
            if (_format.HasUnits) (_units[b * 2 * TileRows + r], _units[(b * 2 + 1) * TileRows + r]) = _format.Units(block);
        }
        PutCodes(r, columns);
        for (int i = 0, part = 0; i < columns; i += _partWidth, part++)
        {
            _scales[part * TileRows + r] = _rowScales[i / _format.Group];
            _offsets[part * TileRows + r] = _rowOffsets[i / _format.Group];
        }
    }

    /// <summary>Step c / 4 of the tile is 64 bytes; row r's four columns are bytes 4 r to 4 r + 3 of it.</summary>
    private void PutCodes(int r, int columns)
    {
        var levels = (Span<sbyte>)_levels.AsSpan(0, (columns + Chunk - 1) / Chunk * Chunk);
        // Where half a chunk is missing, what an earlier stretch left there is no level any more, and its bits would reach into other codes.
        levels[columns..].Fill(_firstLevel ?? 0);
        fixed (sbyte* source = levels)
        fixed (byte* codes = _codes)
        {
            if (_firstLevel is { } level)
                for (int i = 0; i < levels.Length; i += 32)
                    (Vector256.Load(source + i) - Vector256.Create(level)).Store(source + i);
            else
                for (int i = 0; i < levels.Length; i++)
                    source[i] = (sbyte)_codeOfLevel[source[i] + 128];
            var fours = (uint*)source;
            var target = (uint*)codes + r;
            for (int step = 0; step < levels.Length / 4; step++) target[step * TileRows] = fours[step];
        }
    }
}
