using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Core.Kernels;

/// <summary>
/// A weight in the layout that the integer kernels compute on: tiles of 16 rows, one after the other, each a run of chunks
/// of 32 columns, each its scales and then its codes at the bits that the format's levels need. A worker reads its tiles as
/// one sequential stream. Made once, from any format that has an integer form; the stored weight is then no longer read.
/// </summary>
public sealed unsafe class PackedMatrix
{
    /// <summary>Rows a tile.</summary>
    public const int TileRows = 16;

    private readonly NativeBuffer _buffer;

    private PackedMatrix(Weight weight, PackedKernel kernel)
    {
        Kernel = kernel;
        Rows = weight.Rows;
        Columns = weight.Columns;
        Tiles = (Rows + TileRows - 1) / TileRows;
        Chunks = (Columns + Activation.Chunk - 1) / Activation.Chunk;
        TileBytes = (nint)(Chunks / kernel.RunChunks) * kernel.RunBytes;
        _buffer = new NativeBuffer(Tiles * TileBytes, clear: false);
    }

    public PackedKernel Kernel { get; }
    public int Rows { get; }
    public int Columns { get; }
    public int Tiles { get; }
    public int Chunks { get; }
    public nint TileBytes { get; }
    public long Bytes => (long)TileBytes * Tiles;

    public byte* Tile(int tile) => _buffer.Pointer + tile * TileBytes;

    /// <summary>True for formats whose values are a scale times a signed byte, over groups that chunks respect.</summary>
    public static bool CanPack(Weight weight) => weight.Format.Group == 16 || (weight.Format.Group > 0 && weight.Format.Group % Activation.Chunk == 0);

    /// <param name="weight">A weight that <see cref="CanPack"/>.</param>
    /// <param name="pool">The workers that share the tiles.</param>
    /// <param name="kernel">The kernel it is packed for; by default the best of this processor.</param>
    public static PackedMatrix Pack(Weight weight, WorkerPool pool, PackedKernel? kernel = null)
    {
        var matrix = new PackedMatrix(weight, kernel ?? PackedKernel.For(weight.Format));
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
            if (Weight.Format.HasKernelOrder)
            {
                for (int tile = from; tile < to; tile++) DirectPacker.Pack(Weight, Matrix, tile);
                return;
            }
            var packer = new TilePacker(Weight, Matrix);
            for (int tile = from; tile < to; tile++) packer.Pack(tile);
        }
    }
}
