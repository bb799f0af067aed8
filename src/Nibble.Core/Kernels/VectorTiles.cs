using Nibble.Core.Formats;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Core.Kernels;

/// <summary>
/// A weight of vectors whose codes are bytes, in tiles of 64 rows: lanes are rows, whose codes of one place are looked up together in
/// its table of <see cref="PartialProducts"/>. As many bytes as are stored, but for rows that fill the last tile. For processors with
/// look-ups of bytes at 512 bits.
/// </summary>
/// <remarks>[blocks of places, tiles, places of the block, 64 rows]: all of a block is added up while its tables are in the first cache.</remarks>
public sealed unsafe class VectorTiles
{
    /// <summary>Rows that lie side by side; the last are filled up with the last row.</summary>
    public const int TileRows = 64;

    private const int MaxTokens = 32;

    /// <summary>With fewer rows most of the time would go into tables.</summary>
    public const int LeastRows = 256;

    private readonly VectorFormat _format;
    private readonly NativeBuffer _codes;
    private readonly NativeBuffer? _scales;

    private VectorTiles(Weight weight, VectorFormat format)
    {
        _format = format;
        Rows = weight.Rows;
        Products = new PartialProducts(format, weight.Columns);
        _codes = new NativeBuffer((nint)Tiles * Products.Places * TileRows, clear: false);
        if (format.HeaderBytes > 0) _scales = new NativeBuffer((nint)Rows * sizeof(float));
    }

    public int Rows { get; }
    public int Tiles => (Rows + TileRows - 1) / TileRows;
    internal PartialProducts Products { get; }

    /// <summary>[rows], or null where all are 1.</summary>
    internal float* Scales => _scales is null ? null : (float*)_scales.Pointer;

    /// <summary>The codes of a tile in a block of places.</summary>
    internal byte* Codes(int block, int tile) =>
        _codes.Pointer + (nint)TileRows * ((nint)block * Products.BlockPlaces * Tiles + tile * Products.PlacesOf(block));

    /// <summary>
    /// True if this processor has the instructions, the weight enough rows of such codes, and the tokens, each of which has tables of its own,
    /// are so few that decoding the weights for them takes longer.
    /// </summary>
    public static bool Handles(Weight weight, int tokens) => tokens <= MaxTokens && IsFor(weight) && VectorTile.For(1) is not null;

    /// <summary>The same of any processor.</summary>
    internal static bool IsFor(Weight weight) => weight.Format is VectorFormat { HasByteCodes: true } && weight.Rows >= LeastRows;

    public static VectorTiles Pack(Weight weight, WorkerPool pool)
    {
        var tiles = new VectorTiles(weight, (VectorFormat)weight.Format);
        var job = new PackJob { Tiles = tiles, Weight = weight };
        pool.Run(ref job);
        return tiles;
    }

    /// <summary>
    /// Where in a tile a row's code lies: even places and odd ones are added up apart, then in parts of 128 bits, and the sums of 16 rows
    /// that are one register after that shall follow each other.
    /// </summary>
    internal static int PlaceOf(int row)
    {
        (int register, int lane) = Math.DivRem(row % TileRows, 16);
        return lane / 4 * 16 + register % 2 * 8 + lane % 4 * 2 + register / 2;
    }

    private struct PackJob : IParallelJob
    {
        public VectorTiles Tiles;
        public Weight Weight;

        public readonly void Run(int worker, int workers)
        {
            (int from, int to) = ParallelRows.Share(Tiles.Tiles, worker, workers);
            foreach ((int first, int end, Weight rows) in Weight.Stretches(from * TileRows, to * TileRows, TileRows))
            {
                int whole = (end + TileRows - 1) / TileRows * TileRows;
                for (int r = first; r < whole; r++) Tiles.Put(rows.Row(Math.Min(r, end - 1)), r);
            }
        }
    }

    /// <summary>Writes the codes of a stored row to their places; rows beyond the last have its codes.</summary>
    private void Put(ReadOnlySpan<byte> stored, int row)
    {
        if (_scales is not null && row < Rows) Scales[row] = _format.ScaleOf(stored);
        ReadOnlySpan<byte> codes = stored[_format.HeaderBytes..];
        for (int block = 0; block < Products.Blocks; block++)
        {
            byte* to = Codes(block, row / TileRows) + PlaceOf(row);
            foreach (byte code in codes.Slice(block * Products.BlockPlaces, Products.PlacesOf(block)))
            {
                *to = code;
                to += TileRows;
            }
        }
    }
}
