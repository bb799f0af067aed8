using System.Runtime.Intrinsics;
using Nibble.Core.Formats;
using Nibble.Core.Memory;

namespace Nibble.Core.Kernels;

/// <summary>
/// Turns rows of a stored weight into tiles of a packed one, through the format's integer form: a stretch of columns at a
/// time, so that its 16 rows stay in the first cache.
/// </summary>
internal sealed unsafe class TilePacker : ITilePacker
{
    private const int Chunk = Activation.Chunk;
    private const int TileRows = PackedMatrix.TileRows;
    private const int StretchColumns = 256;

    private readonly PackedMatrix _matrix;
    private readonly Format _format;
    private readonly int _stretch;
    private readonly int _partWidth, _partsOfGroup;

    /// <summary>The level of code 0 where codes are levels less that; else levels have their places in the format's list for codes.</summary>
    private readonly sbyte? _firstLevel;

    /// <summary>The place of the level that lies so far above the first, in steps of 2 to the shift; empty where 32 such steps do not tell the levels apart.</summary>
    private readonly byte[] _places;
    private readonly int _placeShift;

    /// <summary>
    /// Elsewhere all levels but the first, 32 times each: the list ascends, so a level's place is the number of these that it reaches.
    /// </summary>
    private readonly sbyte[] _thresholds;

    // A stretch of 16 rows as the format unpacks it, whole chunks of levels a row.
    private readonly sbyte[] _levels;
    private readonly int _width;

    // A stretch of one row.
    private readonly float[] _rowScales;
    private readonly float[] _rowOffsets;

    // A stretch of the tile: codes a byte each, chunk by chunk in the order of ICodeLayout; scales and offsets [chunk, part, row].
    private readonly byte[] _codes;
    private readonly float[] _scales;
    private readonly float[] _offsets;

    // [run, 2, row]
    private readonly float[] _units;

    public TilePacker(PackedMatrix matrix, Format format)
    {
        _matrix = matrix;
        _format = format;
        _firstLevel = PackedKernel.FirstLevel(_format);
        if (_firstLevel is null) (_places, _placeShift) = Places(_format.Levels);
        else _places = [];
        _thresholds = _firstLevel is not null || _places.Length > 0 ? [] : [.. _format.Levels[1..].ToArray().SelectMany(level => Enumerable.Repeat(level, Chunk))];
        _partWidth = Chunk / matrix.Kernel.Parts;
        _partsOfGroup = _format.Group / _partWidth;
        int unit = _format.BlockSize % Chunk == 0 ? _format.BlockSize : _format.BlockSize * 2;
        _stretch = Math.Max(unit, StretchColumns / unit * unit);
        _width = (_stretch + Chunk - 1) / Chunk * Chunk;
        _levels = new sbyte[_width * TileRows];
        _rowScales = new float[_stretch / _format.Group];
        _rowOffsets = new float[_rowScales.Length];
        _codes = new byte[_stretch * TileRows];
        _scales = new float[_stretch / _partWidth * TileRows];
        _offsets = new float[_scales.Length];
        _units = new float[_stretch / (Chunk * matrix.Kernel.RunChunks) * 2 * TileRows];
    }

    public PackedMatrix Matrix => _matrix;

    private static (byte[] Places, int Shift) Places(ReadOnlySpan<sbyte> levels)
    {
        for (int shift = 0; shift < 8; shift++)
        {
            var places = new byte[Chunk];
            int last = -1;
            for (int i = 0; i < levels.Length; i++)
            {
                int step = levels[i] - levels[0] >> shift;
                if (step == last || step >= Chunk) break;
                places[step] = (byte)i;
                if (i == levels.Length - 1) return (places, shift);
                last = step;
            }
        }
        return ([], 0);
    }

    public void Pack(Weight weight, int first, byte* at)
    {
        int rows = Math.Min(TileRows, weight.Rows - first);
        byte* next = weight.Data + (first + TileRows) * weight.RowBytes;
        if (rows < TileRows || _matrix.Columns % _stretch != 0) Clear();
        for (int column = 0; column < _matrix.Columns; column += _stretch)
        {
            int columns = Math.Min(_stretch, _matrix.Columns - column);
            if (columns < _stretch) Clear();
            for (int r = 0; r < rows; r++) ReadRow(weight.Data + (first + r) * weight.RowBytes, r, column, columns);
            PutCodes(columns);
            at = Write(at, (columns + Chunk - 1) / Chunk);
            // The next tile: 16 rows are more than the processor reads ahead of.
            int bytes = TileRows * (columns / _format.BlockSize * _format.BlockBytes);
            CacheLines.Ask(next, bytes);
            next += bytes;
        }
    }

    /// <summary>Rows and columns beyond the matrix have scale 0, so their codes do not matter: 0.</summary>
    private void Clear()
    {
        Array.Clear(_levels);
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

    private void ReadRow(byte* row, int r, int column, int columns)
    {
        int blockSize = _format.BlockSize, blockBytes = _format.BlockBytes, groups = blockSize / _format.Group;
        byte* at = row + (nint)(column / blockSize) * blockBytes;
        for (int b = 0; b < columns / blockSize; b++, at += blockBytes)
        {
            var block = new ReadOnlySpan<byte>(at, blockBytes);
            _format.Unpack(
                block, _levels.AsSpan(r * _width + b * blockSize, blockSize),
                _rowScales.AsSpan(b * groups, groups), _rowOffsets.AsSpan(b * groups, groups));
            if (_format.HasUnits) (_units[b * 2 * TileRows + r], _units[(b * 2 + 1) * TileRows + r]) = _format.Units(block);
        }
        // What is the scale of a whole run is its unit.
        if (_matrix.Kernel.Shape.Numbers == ScaleNumbers.Units)
            for (int run = 0; run < columns / _format.Group; run++) _units[run * 2 * TileRows + r] = _rowScales[run];
        Span<sbyte> levels = _levels.AsSpan(r * _width, _width);
        // Where half a chunk is missing, what an earlier stretch left there is no level any more, and its bits would reach into other codes.
        levels[columns..].Fill(_firstLevel ?? 0);
        MakeCodes(levels);
        for (int part = 0, group = 0, left = _partsOfGroup; part * _partWidth < columns; part++)
        {
            _scales[part * TileRows + r] = _rowScales[group];
            _offsets[part * TileRows + r] = _rowOffsets[group];
            if (--left > 0) continue;
            left = _partsOfGroup;
            group++;
        }
    }

    /// <summary>Of whole chunks of levels, in place.</summary>
    private void MakeCodes(Span<sbyte> levels)
    {
        if (_firstLevel is { } first) IntegerCodes.Shift(levels, -first);
        else if (_places.Length > 0) LookUpPlaces(levels);
        else CountThresholds(levels);
    }

    /// <summary>In the lower or the upper half of the table: the other one has nothing at such a place.</summary>
    private void LookUpPlaces(Span<sbyte> levels)
    {
        Vector128<byte> lower = Vector128.Create(_places), upper = Vector128.Create(_places, 16), first = Vector128.Create((byte)_format.Levels[0]);
        Vector128<byte> mask = Vector128.Create((byte)(0xFF >> _placeShift));
        for (int i = 0; i < levels.Length; i += 16)
        {
            Vector128<byte> step = ((Vector128.Create<sbyte>(levels[i..]).AsByte() - first).AsUInt16() >>> _placeShift).AsByte() & mask;
            (Vector128.Shuffle(lower, step) | Vector128.Shuffle(upper, step - Vector128.Create((byte)16))).AsSByte().CopyTo(levels[i..]);
        }
    }

    private void CountThresholds(Span<sbyte> levels)
    {
        fixed (sbyte* at = levels, thresholds = _thresholds)
            for (int i = 0; i < levels.Length; i += Chunk)
            {
                Vector256<sbyte> level = Vector256.Load(at + i), codes = default;
                // A comparison that holds is -1.
                for (int t = 0; t < _thresholds.Length; t += Chunk) codes -= Vector256.GreaterThanOrEqual(level, Vector256.Load(thresholds + t));
                codes.Store(at + i);
            }
    }

    private void PutCodes(int columns)
    {
        fixed (sbyte* levels = _levels)
        fixed (byte* codes = _codes) Square.TurnRows((byte*)levels, _width, (columns + Chunk - 1) / Chunk * Chunk, codes);
    }
}
