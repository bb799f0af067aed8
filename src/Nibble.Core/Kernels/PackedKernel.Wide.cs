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

    /// <summary>Tokens whose sums fit the registers, by tiles that are taken together.</summary>
    private readonly int[] _mostTokens = new int[WideTileCode.MostTiles + 1];

    internal override InputGroups? NumbersOf(int tokens) => WideTile(1, 1) is null ? null : WideGroups(tokens);

    /// <summary>
    /// Tiles that share what is loaded of so many tokens. One group of tokens waits for memory, which gives one stream faster than
    /// two; and where registers are left for fewer than four tokens unpacking takes what loads save.
    /// </summary>
    private int Together(int tokens) => tokens <= WideTileCode.MostTokens || _mostTokens[WideTileCode.MostTiles] < 4 ? 1 : WideTileCode.MostTiles;

    /// <summary>Groups as large as the registers allow.</summary>
    private InputGroups WideGroups(int tokens)
    {
        int most = _mostTokens[Together(tokens)];
        return new(tokens, (tokens + most - 1) / most, TShape.Parts, _zero, Scaled: !TShape.HasZeroPoints);
    }

    private void MultiplyWide(PackedMatrix w, Activation x, float* y, int fromTile, int toTile)
    {
        InputGroups groups = WideGroups(x.Tokens);
        Vector128<byte> table = _table.GetLower();
        var arguments = new WideTile.Arguments { Chunks = w.Chunks, Stride = (nint)x.Chunks * Chunk, Table = (byte*)&table };
        int together = Together(x.Tokens);
        int block = w.IsStreamed ? together : x.Tokens == 1 ? toTile - fromTile : (int)Math.Max(1, BlockBytes / w.TileBytes / together) * together;
        int full = Math.Min(toTile, w.Rows / TileRows);
        arguments.SumStride = w.Rows * (nint)sizeof(float);
        bool isNear = false;
        for (int from = fromTile; from < full; from += block)
            isNear = MultiplyBlock(w, from, Math.Min(block, full - from), isNear, x, groups, ref arguments, y + from * TileRows);
        if (full < toTile) MultiplyLast(w, Math.Max(full, fromTile), x, groups, ref arguments, y);
    }

    /// <summary>A tile that has less rows than others, for which y has no room.</summary>
    private void MultiplyLast(PackedMatrix w, int tile, Activation x, InputGroups groups, ref WideTile.Arguments arguments, float* y)
    {
        GrowingBuffer scratch = t_scratch!;
        scratch.Reserve(x.Tokens * TileRows * sizeof(float));
        arguments.SumStride = TileRows * sizeof(float);
        MultiplyBlock(w, tile, 1, isNear: false, x, groups, ref arguments, (float*)scratch.Pointer);
        Store((float*)scratch.Pointer, TileRows, x.Tokens, w, y, tile);
    }

    /// <summary>The products of a block of tiles with all groups of tokens.</summary>
    /// <param name="isNear">Whether the block is in a cache; else the first group brings it from memory, tile by tile.</param>
    /// <param name="y">The first token's sums of the first tile.</param>
    /// <returns>Whether the next block is in a cache now.</returns>
    private bool MultiplyBlock(PackedMatrix w, int from, int count, bool isNear, Activation x, InputGroups groups, ref WideTile.Arguments arguments, float* y)
    {
        int together = Math.Min(count, Together(x.Tokens)), even = count / together * together;
        byte* tiles = w.Tile(from), second = together > 1 ? w.Tile(from + 1) : tiles;
        arguments.Apart = (nint)(second - tiles);
        arguments.Next = tiles + count * w.TileBytes;
        byte* end = w.IsStreamed ? arguments.Next : arguments.Next + Math.Min(count, w.Tiles - from - count) * w.TileBytes;
        float* numbers = x.Numbers(groups);
        for (int g = 0; g < groups.Count; g++)
        {
            int first = groups.First(g), size = groups.Size(g), paired = g > 0 || isNear || w.IsStreamed ? even : 0;
            arguments.X = x.Codes + first * arguments.Stride;
            arguments.Inputs = numbers + first * groups.Numbers(w.Chunks);
            arguments.Tile = tiles;
            arguments.Sums = y + first * (arguments.SumStride / sizeof(float));
            arguments.NextStep = arguments.Next < end ? Generated.WideTile.NextBytes : 0;
            if (paired > 0) Multiply(w, size, together, paired, ref arguments);
            if (paired < count) Multiply(w, size, 1, count - paired, ref arguments);
            arguments.Next += paired / together * w.Chunks * arguments.NextStep;
        }
        return together > 1 && arguments.Next >= end;
    }

    /// <summary>The products of tiles with a group of tokens; moves on behind them.</summary>
    private void Multiply(PackedMatrix w, int tokens, int together, int tiles, ref WideTile.Arguments arguments)
    {
        WideTile wide = WideTile(tokens, together) ?? throw new InvalidOperationException("code of other sizes could be made executable, this one not");
        arguments.Tiles = tiles;
        wide.Multiply(ref arguments);
        arguments.Tile += tiles * w.TileBytes;
        arguments.Sums += tiles * TileRows;
    }
}
