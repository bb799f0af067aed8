using Nibble.Core.Formats;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Core.Kernels;

/// <summary>
/// A weight all of whose codes, of up to 4 bits, choose from one table of levels at any distances, in tiles of 16 rows: lanes are rows,
/// so the product with one token pays for a scale once in 1,024 weights. For processors with look-ups of bytes at 512 bits; others,
/// and weights with tables that change, have a <see cref="LevelMatrix"/>.
/// </summary>
/// <seealso cref="LevelDigits"/>
public sealed unsafe class LevelTiles
{
    /// <summary>Rows that lie side by side; the last are filled up with zeros.</summary>
    public const int TileRows = 16;

    private const int Stretch = LevelMatrix.Stretch, Chunk = Activation.Chunk;

    private static readonly LevelDigits s_digits = new(IsSmall: true);

    private static readonly InputGroups s_groups = new(Tokens: 1, Count: 1, Parts: 1, -s_digits.Bias, Scaled: false);

    private readonly NativeBuffer _tiles, _table;
    private readonly float _unit;
    private readonly int _rows, _stretches;

    private LevelTiles(Weight weight)
    {
        _rows = weight.Rows;
        _stretches = weight.Columns / Stretch;
        ScaleBytes = ScaleBytesOf(weight.Format);
        _tiles = new NativeBuffer(Tiles * TileBytes);
        _table = new NativeBuffer(s_digits.TableBytes);
        s_digits.Write(weight.Format.LevelTable(0), _table.Pointer);
        _unit = s_digits.UnitOf(weight.Format.LevelTable(0));
    }

    public int Tiles => (_rows + TileRows - 1) / TileRows;

    /// <summary>Bytes of a scale: 2 where half precision holds them all, else 4.</summary>
    public int ScaleBytes { get; }

    private nint TileBytes => (nint)_stretches * BytesOfStretch(ScaleBytes);

    /// <summary>Bytes of 64 columns of a tile: see <see cref="LevelTile.Arguments.Tile"/>.</summary>
    internal static int BytesOfStretch(int scaleBytes) => TileRows * (scaleBytes + Stretch / 2);

    private static int ScaleBytesOf(Format format) => format.HalfScales ? 2 : 4;

    /// <summary>True if this processor has the instructions, and the weight but one table of few levels.</summary>
    public static bool CanPack(Weight weight) => IsFor(weight) && LevelTile.For(ScaleBytesOf(weight.Format)) is not null;

    /// <summary>The same of any processor.</summary>
    internal static bool IsFor(Weight weight) =>
        weight.Format is { LevelTables: 1, CodeCount: <= 1 << LevelDigits.SmallBits } && weight.Columns % Stretch == 0;

    public static LevelTiles Pack(Weight weight, WorkerPool pool)
    {
        var tiles = new LevelTiles(weight);
        var job = new PackJob { Tiles = tiles, Weight = weight };
        pool.Run(ref job);
        return tiles;
    }

    /// <summary>Makes of an input with codes what all workers read of it: once before the product, by one thread.</summary>
    public static void Prepare(Activation x, WorkerPool pool) =>
        x.MakeNumbers(pool, s_groups);

    /// <summary>Writes rows [16 fromTile, 16 toTile) of y = W x.</summary>
    /// <param name="x">One token, prepared.</param>
    /// <param name="y">[rows].</param>
    /// <param name="fromTile">The first tile.</param>
    /// <param name="toTile">The tile after the last.</param>
    public void Multiply(Activation x, float* y, int fromTile, int toTile) => Multiply(x, y, fromTile, toTile, LevelTile.For(ScaleBytes)!);

    /// <param name="code">For scales of <see cref="ScaleBytes"/>.</param>
    internal void Multiply(Activation x, float* y, int fromTile, int toTile, LevelTile code)
    {
        float* sums = stackalloc float[TileRows];
        var arguments = new LevelTile.Arguments { Stretches = _stretches, X = x.Codes, Inputs = x.Numbers(s_groups), Table = _table.Pointer, Sums = sums };
        for (int tile = fromTile; tile < toTile; tile++)
        {
            arguments.Tile = _tiles.Pointer + tile * TileBytes;
            code.Multiply(ref arguments);
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
            foreach ((int first, int end, Weight rows) in Weight.Stretches(from * TileRows, to * TileRows, TileRows))
                for (int r = first; r < end; r++) Tiles.Put(rows.Row(r), format, codes, r);
        }
    }

    /// <summary>Writes a stored row.</summary>
    private void Put(ReadOnlySpan<byte> block, Format format, ushort[] codes, int row)
    {
        byte* tile = _tiles.Pointer + row / TileRows * TileBytes;
        for (; block.Length > 0; block = block[format.BlockBytes..])
        {
            format.ReadCodes(block, codes);
            for (int at = 0; at < codes.Length; at += Stretch, tile += BytesOfStretch(ScaleBytes))
                Put(format.LevelsAt(block, at).Scale, codes.AsSpan(at, Stretch), tile, row % TileRows);
        }
    }

    /// <summary>Writes a row's part of a stretch: its scale, and its codes.</summary>
    private void Put(float scale, ReadOnlySpan<ushort> codes, byte* stretch, int row)
    {
        if (ScaleBytes == 2) ((Half*)stretch)[row] = (Half)scale;
        else ((float*)stretch)[row] = scale;
        byte* to = stretch + TileRows * ScaleBytes + 4 * row;
        for (int j = 0; j < Chunk; j++) to[j / 4 * (4 * TileRows) + j % 4] = (byte)(codes[j] | codes[Chunk + j] << 4);
    }
}
