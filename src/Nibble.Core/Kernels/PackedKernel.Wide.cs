using System.Runtime.Intrinsics;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Core.Kernels;

internal sealed unsafe partial class PackedKernel<TDot, TCodes, TNumber, TShape>
{
    // Any number of tokens, where 512 bits can be had: up to eight at a time meet the codes as they are packed.

    /// <summary>Bytes of the tiles that all tokens meet before the next ones: what the second cache holds beside the inputs.</summary>
    private const int BlockBytes = 256 << 10;

    public override void Prepare(Activation x, WorkerPool pool)
    {
        if (WideTile(1) is not null) x.MakeNumbers(pool, WideGroups(x.Tokens));
    }

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
        GrowingBuffer scratch = t_scratch!;
        scratch.Reserve(groups.Size * TileRows * sizeof(float));
        Vector128<byte> table = _table.GetLower();
        var arguments = new WideTile.Arguments { Chunks = w.Chunks, Stride = (nint)x.Chunks * Chunk, Table = (byte*)&table, Sums = (float*)scratch.Pointer };
        int block = w.IsStreamed ? 1 : (int)Math.Max(1, BlockBytes / w.TileBytes);
        byte** tiles = stackalloc byte*[block];
        for (int from = fromTile; from < toTile; from += block)
        {
            int count = Math.Min(block, toTile - from);
            for (int i = 0; i < count; i++) tiles[i] = w.Tile(from + i);
            for (int g = 0; g < groups.Count; g++)
            {
                int first = groups.First(g);
                arguments.X = x.Codes + first * arguments.Stride;
                arguments.Inputs = x.Numbers + g * groups.Numbers(w.Chunks);
                for (int i = 0; i < count; i++)
                {
                    arguments.Tile = tiles[i];
                    new Span<float>(arguments.Sums, groups.Size * TileRows).Clear();
                    wide.Multiply(ref arguments);
                    Store(arguments.Sums, TileRows, groups.Size, w, y + first * (nint)w.Rows, from + i);
                }
            }
        }
    }
}
