using System.Runtime.Intrinsics;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;

namespace Nibble.Core.Kernels;

internal sealed unsafe partial class PackedKernel<TDot, TCodes, TNumber, TShape>
{
    // Any number of tokens, where 512 bits can be had: up to eight at a time meet the codes as they are packed.

    /// <summary>Bytes of the tiles that all tokens meet before the next ones: what the second cache holds beside the inputs.</summary>
    private const int BlockBytes = 256 << 10;

    private void MultiplyWide(PackedMatrix w, Activation x, float* y, int fromTile, int toTile)
    {
        int most = WideTileCode.MaxTokens(Shape), groups = (x.Tokens + most - 1) / most, size = (x.Tokens + groups - 1) / groups;
        WideTile wide = WideTile(size) ?? throw new InvalidOperationException("code of other sizes could be made executable, this one not");
        const int TileRows = PackedMatrix.TileRows;
        int numbers = w.Chunks * TShape.Parts * InputNumbers.Kinds * size;
        GrowingBuffer scratch = t_scratch!;
        scratch.Reserve((groups * (nint)numbers + size * TileRows) * sizeof(float));
        float* inputs = (float*)scratch.Pointer, sums = inputs + groups * (nint)numbers;
        // The last group begins early enough to be as large as the others.
        int First(int group) => Math.Min(group * size, x.Tokens - size);
        for (int g = 0; g < groups; g++) InputNumbers.ArrangeGroup(x, First(g), size, TShape.Parts, _zero, !TShape.HasZeroPoints, inputs + g * (nint)numbers);
        Vector128<byte> table = _table.GetLower();
        var arguments = new WideTile.Arguments { Chunks = w.Chunks, Stride = (nint)x.Chunks * Chunk, Table = (byte*)&table, Sums = sums };
        int block = w.IsStreamed ? 1 : (int)Math.Max(1, BlockBytes / w.TileBytes);
        byte** tiles = stackalloc byte*[block];
        for (int from = fromTile; from < toTile; from += block)
        {
            int count = Math.Min(block, toTile - from);
            for (int i = 0; i < count; i++) tiles[i] = w.Tile(from + i);
            for (int g = 0; g < groups; g++)
            {
                arguments.X = x.Codes + First(g) * arguments.Stride;
                arguments.Inputs = inputs + g * (nint)numbers;
                for (int i = 0; i < count; i++)
                {
                    arguments.Tile = tiles[i];
                    new Span<float>(sums, size * TileRows).Clear();
                    wide.Multiply(ref arguments);
                    Store(sums, TileRows, size, w, y + First(g) * (nint)w.Rows, from + i);
                }
            }
        }
    }
}
