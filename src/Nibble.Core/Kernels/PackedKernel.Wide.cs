using System.Runtime.Intrinsics;
using Nibble.Core.Kernels.Generated;

namespace Nibble.Core.Kernels;

internal sealed unsafe partial class PackedKernel<TDot, TCodes, TNumber, TShape>
{
    // Any number of tokens, where 512 bits can be had: up to eight at a time meet the codes as they are packed.

    /// <summary>Bytes of the tiles that all tokens meet before the next ones: what the second cache holds beside the inputs.</summary>
    private const int BlockBytes = 256 << 10;

    internal override InputGroups? NumbersOf(int tokens) => WideTile(1) is null ? null : WideGroups(tokens);

    /// <summary>Groups of equal size, as large as the registers allow.</summary>
    private InputGroups WideGroups(int tokens)
    {
        int most = WideTileCode.MaxTokens(Shape), groups = (tokens + most - 1) / most;
        return new(tokens, (tokens + groups - 1) / groups, TShape.Parts, _zero, Scaled: !TShape.HasZeroPoints);
    }

    private void MultiplyWide(PackedMatrix w, Activation x, float* y, int fromTile, int toTile)
    {
        const int TileRows = PackedMatrix.TileRows;
        InputGroups groups = WideGroups(x.Tokens);
        WideTile wide = WideTile(groups.Size) ?? throw new InvalidOperationException("code of other sizes could be made executable, this one not");
        Vector128<byte> table = _table.GetLower();
        float* numbers = x.Numbers(groups);
        var arguments = new WideTile.Arguments { Chunks = w.Chunks, Stride = (nint)x.Chunks * Chunk, Table = (byte*)&table };
        for (int from = fromTile, count; from < toTile; from += count)
        {
            // The sums of one token are rows of y as they are, but for those of a last tile that is not full.
            int fullTiles = x.Tokens > 1 ? 0 : Math.Min(toTile, w.Rows / TileRows) - from;
            bool inPlace = fullTiles > 0;
            count = w.IsStreamed ? 1 : inPlace ? fullTiles : (int)Math.Clamp(BlockBytes / w.TileBytes, 1, toTile - from);
            arguments.Tile = w.Tile(from);
            arguments.Tiles = count;
            if (!inPlace) t_scratch!.Reserve((nint)count * groups.Size * TileRows * sizeof(float));
            arguments.Sums = inPlace ? y + from * TileRows : (float*)t_scratch!.Pointer;
            for (int g = 0; g < groups.Count; g++)
            {
                int first = groups.First(g);
                arguments.X = x.Codes + first * arguments.Stride;
                arguments.Inputs = numbers + g * groups.Numbers(w.Chunks);
                wide.Multiply(ref arguments);
                for (int i = 0; i < count && !inPlace; i++)
                    Store(arguments.Sums + i * groups.Size * TileRows, TileRows, groups.Size, w, y + first * (nint)w.Rows, from + i);
            }
        }
    }
}
