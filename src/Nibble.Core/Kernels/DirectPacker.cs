using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
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

    /// <summary>Where a block, which is a run then, has the scale that is its unit.</summary>
    private readonly int _scaleAt;
    private readonly PackedShape _shape;
    private readonly UnitNumbers? _units;

    /// <summary>The place that each code of 4 bits stands for; empty where it is that itself.</summary>
    private readonly byte[] _places;

    public DirectPacker(PackedMatrix matrix, Format format)
    {
        _matrix = matrix;
        _planes = [.. format.CodePlanes];
        _places = format.CodePlaces.ToArray();
        _blockBytes = format.BlockBytes;
        _blockRuns = format.BlockSize / (Activation.Chunk * matrix.Kernel.RunChunks);
        _shape = matrix.Kernel.Shape;
        if (format.HasUnits) _units = new UnitNumbers(format, _shape);
        if (_shape.Numbers != ScaleNumbers.Units) return;
        _scaleAt = format.BlockParameters[0].Low.Byte;
        if (_blockRuns != 1) throw new NotSupportedException($"{format.Name} has several scales of 256 columns in a block.");
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
            else if (_shape.Numbers == ScaleNumbers.Units) PackScales(blocks, at);
            else if (_shape.Numbers == ScaleNumbers.Exponents) PackExponents(blocks, at);
            else if (_shape.Numbers == ScaleNumbers.HalfUppers) PackHalfUppers(blocks, at);
            else PackNumbers(blocks, at);
            PackCodes(blocks, at + _shape.UnitsBytes + _shape.CodesAt);
            for (int r = 0; r < rows; r++) blocks[r] += _blockBytes;
            // The next tile: 16 rows are more than the processor reads ahead of.
            CacheLines.Ask(next, TileRows * _blockBytes);
            next += TileRows * _blockBytes;
        }
    }

    /// <summary>A block for rows beyond the matrix: numbers are 0, and so are codes.</summary>
    private void Clear(Span<byte> block)
    {
        block.Clear();
        if (_planes is [{ Bits: 8, InOrder: false } bytes]) block[bytes.At..].Fill(128);
        if (_places.Length > 0) block[_planes[0].At..].Fill((byte)(0x11 * Array.IndexOf(_places, (byte)0)));
    }

    /// <summary>A block, which is a run, has one scale, which is the unit.</summary>
    private void PackScales(byte** blocks, byte* run)
    {
        for (int r = 0; r < TileRows; r++) ((ushort*)run)[r] = *(ushort*)(blocks[r] + _scaleAt);
    }

    /// <summary>A block, which is a chunk, begins with the exponent of twice its scale.</summary>
    private static void PackExponents(byte** blocks, byte* chunk)
    {
        for (int r = 0; r < TileRows; r++) chunk[r] = (byte)Math.Max(*blocks[r] - 1, 0);
    }

    /// <summary>A block begins with the scales of its groups in E4M3, one for each part of a chunk: without sign, and 0 for what is no number.</summary>
    private void PackHalfUppers(byte** blocks, byte* chunk)
    {
        for (int i = 0; i < _blockRuns * _shape.Parts; i++)
        {
            byte* scales = chunk + i / _shape.Parts * _shape.ChunkBytes + i % _shape.Parts * TileRows;
            for (int r = 0; r < TileRows; r++)
            {
                int scale = blocks[r][i] & 0x7F;
                scales[r] = (byte)(scale == 0x7F ? 0 : scale);
            }
        }
    }

    /// <summary>A block begins with a scale, and an offset or a zero point if it has one: they are those of all its chunks.</summary>
    private void PackNumbers(byte** blocks, byte* chunk)
    {
        var scales = (ushort*)chunk;
        for (int r = 0; r < TileRows; r++)
        {
            scales[r] = ((ushort*)blocks[r])[0];
            if (_shape.HasZeroPoints) chunk[_shape.OffsetsAt + r] = ZeroPoint(blocks[r]);
            else if (_shape.HasOffsets) scales[TileRows + r] = ((ushort*)blocks[r])[1];
        }
        for (int i = 1; i < _blockRuns; i++) Buffer.MemoryCopy(chunk, chunk + i * _shape.ChunkBytes, _shape.CodesAt, _shape.CodesAt);
    }

    /// <summary>As a signed level, which code 0 is the lowest of; 0 where the scale is.</summary>
    private byte ZeroPoint(byte* block)
    {
        int bits = _planes[0].Bits, code = block[sizeof(ushort)] & ((1 << bits) - 1);
        return (*(ushort*)block & 0x7FFF) == 0 ? (byte)0 : (byte)(code - (1 << bits >> 1));
    }

    /// <param name="blocks">16 blocks.</param>
    /// <param name="codes">Those of the first chunk.</param>
    private void PackCodes(byte** blocks, byte* codes)
    {
        foreach (CodePlanes planes in _planes)
        {
            int run = WholeRun(planes), chunks = run * 8 / (planes.Bits * Activation.Chunk);
            byte* target = codes;
            for (int at = planes.At, left = _matrix.Kernel.RunChunks * _blockRuns; left > 0; left -= chunks, at += run, target += chunks * _shape.ChunkBytes)
                PackRun(blocks, at, planes, target);
            codes += 64 * planes.Bits;
        }
    }

    /// <summary>Bytes of a run, or of the two that make a chunk.</summary>
    private static int WholeRun(CodePlanes planes) => Math.Max(planes.Run, planes.Bits * Activation.Chunk / 8);

    [SkipLocalsInit]
    private void PackRun(byte** blocks, int at, CodePlanes planes, byte* target)
    {
        if (planes.InOrder)
        {
            if (planes.Bits is 1 or 2 or 4 or 8) PackInOrder(blocks, at, planes.Bits, target);
            else PackSpread(blocks, at, planes.Bits, target);
            return;
        }
        if (planes.Run < WholeRun(planes))
        {
            PackHalves(blocks, at, target);
            return;
        }
        bool isChunk = planes.Run * 8 == planes.Bits * Activation.Chunk;
        byte* scratch = stackalloc byte[4 * PieceBytes], turned = isChunk ? target : scratch;
        // Signed bytes become their place among all signed bytes: + 128, which flips the top bit.
        var flip = Vector128.Create(planes.Bits == 8 ? 0x80808080u : 0);
        for (int from = at, end = at + planes.Run, to = 0; from < end; from += 16, to += PieceBytes)
            for (int r = 0; r < TileRows; r += 4)
                Square.Turn(
                    Load(blocks[r], from) ^ flip, Load(blocks[r + 1], from) ^ flip, Load(blocks[r + 2], from) ^ flip, Load(blocks[r + 3], from) ^ flip,
                    turned + to + r * 4, 64);
        if (isChunk)
        {
            if (_places.Length > 0) LookUpPlaces(target);
            return;
        }
        if (planes.Bits == 4) BitSquare.TurnNibbles(turned, planes.Run / Activation.Chunk, target, _shape.ChunkBytes);
        else if (planes.Bits == 2) BitSquare.TurnPairs(turned, target, _shape.ChunkBytes);
        else BitSquare.TurnBits(turned, target, _shape.ChunkBytes);
    }

    /// <summary>A chunk of two runs of 8 bytes, codes of 4 bits.</summary>
    private void PackHalves(byte** blocks, int at, byte* target)
    {
        for (int r = 0; r < TileRows; r += 4)
            Square.Turn(Join(blocks[r] + at), Join(blocks[r + 1] + at), Join(blocks[r + 2] + at), Join(blocks[r + 3] + at), target + r * 4, 64);
        if (_places.Length > 0) LookUpPlaces(target);
    }

    /// <summary>Two runs of 8 bytes, columns i and i + 8 of a half chunk in byte i of each, as one of 16: columns i and i + 16.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<uint> Join(byte* runs)
    {
        Vector128<byte> two = Vector128.Load(runs);
        Vector128<ulong> low = (two & Vector128.Create((byte)15)).AsUInt64(), high = (two >>> 4).AsUInt64();
        // Each half of the vector is a run.
        Vector128<ulong> first = Sse2.IsSupported ? Sse2.UnpackLow(low, high) : Vector128.Create(low[0], high[0]);
        Vector128<ulong> second = Sse2.IsSupported ? Sse2.UnpackHigh(low, high) : Vector128.Create(low[1], high[1]);
        return (first | second << 4).AsUInt32();
    }

    /// <summary>Of a chunk's codes, two in a byte.</summary>
    private void LookUpPlaces(byte* codes)
    {
        Vector128<byte> places = Vector128.Create(_places), mask = Vector128.Create((byte)15);
        for (int i = 0; i < PieceBytes; i += 16)
        {
            Vector128<byte> two = Vector128.Load(codes + i);
            (Vector128.ShuffleNative(places, two & mask) | (Vector128.ShuffleNative(places, two >>> 4) << 4)).Store(codes + i);
        }
    }

    /// <summary>A chunk of codes that follow each other.</summary>
    [SkipLocalsInit]
    private static void PackInOrder(byte** blocks, int at, int bits, byte* target)
    {
        byte* two = stackalloc byte[4 * 64];
        for (int r = 0; r < TileRows; r += 4)
        {
            byte* a = blocks[r] + at, b = blocks[r + 1] + at, c = blocks[r + 2] + at, d = blocks[r + 3] + at;
            if (bits == 1) BitSquare.TurnBits(Vector128.Create(*(uint*)a, *(uint*)b, *(uint*)c, *(uint*)d)).Store((uint*)target + r);
            else if (bits == 2) Square.Turn(Eight(a), Eight(b), Eight(c), Eight(d), two + 4 * r, 64);
            else if (bits == 4) Square.Turn(Nibbles(a), Nibbles(b), Nibbles(c), Nibbles(d), target + 4 * r, 64);
            else
                for (int i = 0; i < 32; i += 16) Square.Turn(Load(a, i), Load(b, i), Load(c, i), Load(d, i), target + i * TileRows + 4 * r, 64);
        }
        if (bits == 2) new Span<byte>(two, 2 * 64).CopyTo(new Span<byte>(target, 2 * 64));

        // The two words that there are, for there may be none behind them.
        static Vector128<uint> Eight(byte* codes) => BitSquare.TurnPairs(Vector128.CreateScalar(*(ulong*)codes).AsUInt32());

        static Vector128<uint> Nibbles(byte* codes) => BitSquare.TurnNibbles(Vector128.Load(codes));
    }

    /// <summary>The same where a code crosses bytes: each gets a byte first.</summary>
    [SkipLocalsInit]
    private void PackSpread(byte** blocks, int at, int bits, byte* target)
    {
        const int Chunk = Activation.Chunk;
        byte* spread = stackalloc byte[TileRows * Chunk], codes = stackalloc byte[TileRows * Chunk];
        for (int r = 0; r < TileRows; r++) BitPacking.Unpack32(blocks[r] + at, bits, spread + r * Chunk);
        Square.TurnRows(spread, Chunk, Chunk, codes);
        _matrix.Kernel.PackCodes(codes, target);
    }

    private static Vector128<uint> Load(byte* block, int from) => Vector128.Load((uint*)(block + from));
}
