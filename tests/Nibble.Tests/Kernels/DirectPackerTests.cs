using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Tests.Kernels;

/// <summary>Packing whole blocks against packing what the format unpacks, to the byte.</summary>
public sealed unsafe class DirectPackerTests
{
    private static readonly string[] s_linear =
        ["Linear2-sym-g32", "Linear2-zero-g128", "Linear2-min-g32", "Linear4-sym-g128", "Linear4-zero-g32", "Linear4-min-g64", "Linear8-sym-g32", "Linear8-zero-g256",
        "Linear3", "Linear3-zero-g32", "Linear5-min-g64", "Linear5-sym-g32", "Linear6-zero-g64", "Linear6-sym-g32", "Linear4-sym-g256", "Linear3-sym-g256"];

    public static TheoryData<string> Formats => [.. Format.All.Where(DirectPacker.CanPack).Select(f => f.Name), .. s_linear];

    [Theory, MemberData(nameof(Formats))]
    public void Tiles_are_those_of_unpacked_codes(string name)
    {
        Format format = Format.Parse(name);
        foreach ((int rows, int columns) in ((int, int)[])[(1, 256), (16, 512), (37, 768), (64, 2048)])
        {
            Weight weight = Weight.Allocate("w", format, rows, columns);
            var random = new Random(rows);
            for (int r = 0; r < rows; r++) FillBlocks(format, weight.Row(r), random);
            using var pool = new WorkerPool(1);
            PackedMatrix matrix = PackedMatrix.Pack(weight, pool);
            byte[] tiles = Tiles(matrix, weight, new DirectPacker(matrix, format));
            Assert.Equal(Tiles(matrix, weight, new TilePacker(matrix, format)), tiles);
            Assert.Equal(tiles, new ReadOnlySpan<byte>(matrix.Tile(0), (int)matrix.Bytes).ToArray());
        }
    }

    /// <summary>
    /// Any bits: units that are 0, infinite or no numbers among them. Of the last there is one, for single precision, through which
    /// the general packer takes them, keeps no others. Halves that are stored as such are finite.
    /// </summary>
    private static void FillBlocks(Format format, Span<byte> row, Random random)
    {
        random.NextBytes(row);
        for (int at = 0; at < row.Length; at += format.BlockBytes)
            foreach (BlockParameter half in format.BlockParameters.Where(p => p.IsHalf))
            {
                Span<byte> block = row.Slice(at, format.BlockBytes);
                if (random.Next(8) == 0) half.Write(block, 0);
                else if (format.HasUnits && double.IsNaN(half.Read(block))) half.Write(block, double.NaN);
                else if (!format.HasUnits && !double.IsFinite(half.Read(block))) half.Write(block, 1);
                else if (random.Next(8) == 0) half.Write(block, -6e-8);
            }
    }

    private static byte[] Tiles(PackedMatrix matrix, Weight weight, ITilePacker packer)
    {
        var bytes = new byte[matrix.Bytes];
        fixed (byte* at = bytes)
            for (int tile = 0; tile < matrix.Tiles; tile++) packer.Pack(weight, tile * PackedMatrix.TileRows, at + tile * matrix.TileBytes);
        return bytes;
    }
}
