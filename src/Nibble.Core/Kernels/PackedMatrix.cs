using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Core.Kernels;

/// <summary>
/// A weight in the layout that the integer kernels compute on: tiles of 16 rows, one after the other, each a run of chunks
/// of 32 columns, each its scales and then its codes at the bits that the format's levels need. A worker reads its tiles as
/// one sequential stream. Made once, from any format that has an integer form; the stored weight is then no longer read.
/// Trellis-coded weights would be several times as large so: their tiles are made anew whenever they are asked for.
/// </summary>
public sealed unsafe class PackedMatrix
{
    /// <summary>Rows a tile.</summary>
    public const int TileRows = 16;

    private readonly byte* _tiles;
    private readonly object? _owner;
    private readonly Weight? _streamed;

    [ThreadStatic] private static TilePacker? t_packer;
    [ThreadStatic] private static GrowingBuffer? t_even, t_odd;

    private PackedMatrix(Weight weight, WorkerPool pool, PackedKernel kernel)
    {
        Kernel = kernel;
        Rows = weight.Rows;
        Columns = weight.Columns;
        Tiles = (Rows + TileRows - 1) / TileRows;
        Chunks = (Columns + Activation.Chunk - 1) / Activation.Chunk;
        TileBytes = (nint)(Chunks / kernel.RunChunks) * kernel.RunBytes;
        if (weight.Format is TrellisFormat) _streamed = weight;
        else _tiles = Slab.Allocate(Tiles * TileBytes, weight, pool, out _owner);
    }

    public PackedKernel Kernel { get; }
    public int Rows { get; }
    public int Columns { get; }
    public int Tiles { get; }
    public int Chunks { get; }
    public nint TileBytes { get; }
    public long Bytes => (long)TileBytes * Tiles;

    /// <summary>True if tiles are made whenever they are asked for.</summary>
    public bool IsStreamed => _streamed is not null;

    /// <summary>The tiles, if they lie in memory.</summary>
    internal MemoryRange Range => IsStreamed ? default : new((nint)_tiles, TileBytes, Tiles);

    /// <summary>A tile; where <see cref="IsStreamed"/>, it is the calling thread's until it asks for the next but one.</summary>
    public byte* Tile(int tile)
    {
        if (_streamed is null) return _tiles + tile * TileBytes;
        TilePacker packer = t_packer?.Matrix == this ? t_packer : t_packer = new TilePacker(this, _streamed.Format);
        GrowingBuffer buffer = tile % 2 == 0 ? t_even ??= new GrowingBuffer() : t_odd ??= new GrowingBuffer();
        buffer.Reserve(TileBytes);
        packer.Pack(_streamed, tile * TileRows, buffer.Pointer);
        return buffer.Pointer;
    }

    /// <summary>True for formats whose values are a scale times a signed byte, over groups that chunks respect.</summary>
    public static bool CanPack(Format format) => format.Group == 16 || (format.Group > 0 && format.Group % Activation.Chunk == 0);

    /// <param name="weight">A weight of a format that <see cref="CanPack"/>.</param>
    /// <param name="pool">The workers that share the tiles.</param>
    /// <param name="kernel">The kernel it is packed for; by default the best of this processor.</param>
    public static PackedMatrix Pack(Weight weight, WorkerPool pool, PackedKernel? kernel = null)
    {
        var matrix = new PackedMatrix(weight, pool, kernel ?? PackedKernel.For(weight.Format));
        if (matrix._streamed is not null) return matrix;
        var job = new PackJob { Matrix = matrix, Weight = weight };
        pool.Run(ref job);
        return matrix;
    }

    private struct PackJob : IParallelJob
    {
        public PackedMatrix Matrix;
        public Weight Weight;

        public readonly void Run(int worker, int workers)
        {
            (int from, int to) = ParallelRows.Share(Matrix.Tiles, worker, workers);
            ITilePacker packer = DirectPacker.CanPack(Weight.Format) ? new DirectPacker(Matrix, Weight.Format) : new TilePacker(Matrix, Weight.Format);
            foreach ((int first, int end, Weight rows) in Weight.Stretches(from * TileRows, to * TileRows, TileRows))
                for (int row = first; row < end; row += TileRows) packer.Pack(rows, row, Matrix.Tile(row / TileRows));
        }
    }
}
