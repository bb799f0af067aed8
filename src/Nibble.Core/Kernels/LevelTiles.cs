using Nibble.Core.Formats;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Core.Kernels;

/// <summary>
/// A weight all of whose codes, of up to 4 bits, choose from one table of levels at any distances, in tiles of 16 rows as those of a
/// <see cref="PackedMatrix"/>: lanes are rows, so the product with one token pays for scales once in 512 weights. For processors with
/// look-ups of bytes at 512 bits; others, and weights with tables that change, have a <see cref="LevelMatrix"/>.
/// </summary>
/// <seealso cref="LevelDigits"/>
public sealed unsafe class LevelTiles
{
    private const int TileRows = PackedMatrix.TileRows, Chunk = Activation.Chunk;

    private static readonly LevelDigits s_digits = new(IsSmall: true);

    private readonly NativeBuffer _tiles, _table;
    private readonly float _unit;
    private readonly int _rows, _chunks;

    private LevelTiles(Weight weight)
    {
        _rows = weight.Rows;
        _chunks = weight.Columns / Chunk;
        Shape = ShapeOf(weight.Format);
        _tiles = new NativeBuffer(Tiles * TileBytes);
        _table = new NativeBuffer(s_digits.TableBytes);
        s_digits.Write(weight.Format.LevelTable(0), _table.Pointer);
        _unit = s_digits.UnitOf(weight.Format.LevelTable(0));
    }

    public int Tiles => (_rows + TileRows - 1) / TileRows;

    /// <summary>How a chunk of a tile lies in memory.</summary>
    internal PackedShape Shape { get; }

    private nint TileBytes => (nint)_chunks * Shape.ChunkBytes;

    private static PackedShape ShapeOf(Format format) => new(
        LevelDigits.SmallBits, IsTable: true, NumberBytes: format.HalfScales ? 2 : 4, Parts: 1, HasOffsets: false, HasZeroPoints: false, HasDigits: true);

    /// <summary>True if this processor has the instructions, and the weight but one table of few levels.</summary>
    public static bool CanPack(Weight weight) =>
        IsFor(weight) && Avx512Vnni.HasByteLookUps && WideTile.For(ShapeOf(weight.Format), 1) is not null;

    /// <summary>The same of any processor.</summary>
    internal static bool IsFor(Weight weight) =>
        weight.Format is { LevelTables: 1, CodeCount: <= 1 << LevelDigits.SmallBits } && weight.Columns % Chunk == 0;

    public static LevelTiles Pack(Weight weight, WorkerPool pool)
    {
        var tiles = new LevelTiles(weight);
        var job = new PackJob { Tiles = tiles, Weight = weight };
        pool.Run(ref job);
        return tiles;
    }

    /// <summary>Makes of an input with codes what all workers read of it: once before the product, by one thread.</summary>
    public static void Prepare(Activation x, WorkerPool pool) =>
        x.MakeNumbers(pool, new InputGroups(Tokens: 1, Size: 1, Parts: 1, -s_digits.Bias, Scaled: false));

    /// <summary>Writes rows [16 fromTile, 16 toTile) of y = W x.</summary>
    /// <param name="x">One token, prepared.</param>
    /// <param name="y">[rows].</param>
    /// <param name="fromTile">The first tile.</param>
    /// <param name="toTile">The tile after the last.</param>
    public void Multiply(Activation x, float* y, int fromTile, int toTile) => Multiply(x, y, fromTile, toTile, WideTile.For(Shape, 1)!);

    /// <param name="wide">The code for <see cref="Shape"/> and one token.</param>
    internal void Multiply(Activation x, float* y, int fromTile, int toTile, WideTile wide)
    {
        float* sums = stackalloc float[TileRows];
        var arguments = new WideTile.Arguments { Chunks = _chunks, X = x.Codes, Inputs = x.Numbers, Table = _table.Pointer, Sums = sums };
        for (int tile = fromTile; tile < toTile; tile++)
        {
            new Span<float>(sums, TileRows).Clear();
            arguments.Tile = _tiles.Pointer + tile * TileBytes;
            wide.Multiply(ref arguments);
            for (int r = 0, row = tile * TileRows; r < Math.Min(TileRows, _rows - row); r++) y[row + r] = _unit * sums[r];
        }
    }

    private struct PackJob : IParallelJob
    {
        public LevelTiles Tiles;
        public Weight Weight;

        public readonly void Run(int worker, int workers)
        {
            (int from, int to) = ParallelRows.Share(Tiles.Tiles, worker, workers);
            Format format = Weight.Format;
            var codes = new ushort[format.BlockSize];
            for (int r = from * TileRows; r < Math.Min(Tiles._rows, to * TileRows); r++)
            {
                byte* tile = Tiles._tiles.Pointer + r / TileRows * Tiles.TileBytes;
                ReadOnlySpan<byte> block = Weight.Row(r);
                for (int column = 0; column < Weight.Columns; column += codes.Length, block = block[format.BlockBytes..])
                {
                    format.ReadCodes(block, codes);
                    for (int at = 0; at < codes.Length; at += Chunk)
                        Tiles.Put(format.LevelsAt(block, at).Scale, codes.AsSpan(at, Chunk), tile + (nint)(column + at) / Chunk * Tiles.Shape.ChunkBytes, r % TileRows);
                }
            }
        }
    }

    /// <summary>Writes a row's part of a chunk: its scale, and its codes in the order of <see cref="Bits4"/>.</summary>
    private void Put(float scale, ReadOnlySpan<ushort> codes, byte* chunk, int row)
    {
        if (Shape.NumberBytes == 2) ((Half*)chunk)[row] = (Half)scale;
        else ((float*)chunk)[row] = scale;
        byte* to = chunk + Shape.CodesAt + 4 * row;
        for (int j = 0; j < Chunk; j++) to[j % (Chunk / 2) / 4 * 64 + j % 4] |= (byte)(codes[j] << (j < Chunk / 2 ? 0 : 4));
    }
}
