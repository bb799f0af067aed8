using System.Runtime.Intrinsics;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;

namespace Nibble.Core.Kernels;

internal sealed unsafe partial class PackedKernel<TDot, TCodes, TNumber, TShape>
{
    // Any number of tokens, where 512 bits can be had: up to eight at a time meet the codes as they are packed.

    /// <summary>Bytes of the tiles that all tokens meet before the next ones: what the second cache holds beside the inputs.</summary>
    private const int BlockBytes = 256 << 10;

    private const int TileRows = PackedMatrix.TileRows;

    internal override InputGroups? NumbersOf(int tokens) => WideTile(1) is null ? null : WideGroups(tokens);

    /// <summary>Groups of equal size, as large as the registers allow.</summary>
    private InputGroups WideGroups(int tokens)
    {
        int most = WideTileCode.MaxTokens(Shape), groups = (tokens + most - 1) / most;
        return new(tokens, (tokens + groups - 1) / groups, TShape.Parts, _zero, Scaled: !TShape.HasZeroPoints);
    }

    private void MultiplyWide(PackedMatrix w, Activation x, float* y, int fromTile, int toTile)
    {
        InputGroups groups = WideGroups(x.Tokens);
        WideTile wide = WideTile(groups.Size) ?? throw new InvalidOperationException("code of other sizes could be made executable, this one not");
        Vector128<byte> table = _table.GetLower();
        float* numbers = x.Numbers(groups);
        var arguments = new WideTile.Arguments { Chunks = w.Chunks, Stride = (nint)x.Chunks * Chunk, Table = (byte*)&table, X = x.Codes, Inputs = numbers };
        if (x.Tokens == 1 && !w.IsStreamed)
        {
            // Sums of one token are rows of y as they are, but for those of a last tile that is not full.
            int full = Math.Min(toTile, w.Rows / TileRows);
            if (full > fromTile) Multiply(wide, ref arguments, w.Tile(fromTile), full - fromTile, y + fromTile * TileRows);
            fromTile = Math.Max(fromTile, full);
        }
        int block = w.IsStreamed ? 1 : (int)Math.Max(1, BlockBytes / w.TileBytes);
        for (int from = fromTile; from < toTile; from += block)
        {
            byte* tiles = w.Tile(from);
            int count = Math.Min(block, toTile - from);
            for (int g = 0; g < groups.Count; g++)
            {
                int first = groups.First(g);
                arguments.X = x.Codes + first * arguments.Stride;
                arguments.Inputs = numbers + g * groups.Numbers(w.Chunks);
                MultiplyBlock(wide, ref arguments, w, tiles, from, count, groups.Size, y + first * (nint)w.Rows);
            }
        }
    }

    /// <summary>The products of a block of tiles with one group of tokens, a few tiles at a time: their sums stay in the first cache.</summary>
    private static void MultiplyBlock(WideTile wide, ref WideTile.Arguments arguments, PackedMatrix w, byte* tiles, int firstTile, int count, int tokens, float* y)
    {
        const int CallTiles = 4;
        GrowingBuffer scratch = t_scratch!;
        scratch.Reserve(CallTiles * tokens * TileRows * sizeof(float));
        float* sums = (float*)scratch.Pointer;
        for (int done = 0; done < count; done += CallTiles)
        {
            int next = Math.Min(CallTiles, count - done);
            Multiply(wide, ref arguments, tiles + done * w.TileBytes, next, sums);
            for (int i = 0; i < next; i++) Store(sums + i * tokens * TileRows, TileRows, tokens, w, y, firstTile + done + i);
        }
    }

    private static void Multiply(WideTile wide, ref WideTile.Arguments arguments, byte* tiles, int count, float* sums)
    {
        arguments.Tile = tiles;
        arguments.Tiles = count;
        arguments.Sums = sums;
        wide.Multiply(ref arguments);
    }
}
