using System.Runtime.Intrinsics;
using Nibble.Core.Formats;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;

namespace Nibble.Core.Kernels;

public static unsafe partial class TrellisKernel
{
    private const int Chunk = Activation.Chunk, SumLanes = TrellisRow.SumLanes;

    /// <summary>The same with generated code, for any number of tokens that it takes at once.</summary>
    internal static void Multiply(Weight weight, Activation x, float* y, int from, int to, TrellisRow code)
    {
        var format = (TrellisFormat)weight.Format;
        int tokens = x.Tokens, rings = x.Chunks / 2, blocks = weight.Columns / format.BlockSize;
        GrowingBuffer scratch = t_scratch ??= new GrowingBuffer();
        scratch.Reserve((nint)tokens * (rings * (2 * Chunk + 2 * sizeof(float)) + (blocks + SumLanes) * sizeof(float)) + blocks * sizeof(float));
        var codes = (sbyte*)scratch.Pointer;
        var scales = (float*)(codes + (nint)tokens * rings * 2 * Chunk);
        float* sums = scales + tokens * rings * 2, centres = sums + tokens * SumLanes, blockScales = centres + tokens * blocks;
        Arrange(x, codes, scales);
        for (int t = 0; t < tokens; t++) Centre(x, t, format.BlockSize / Chunk, centres + t * blocks);
        for (int r = from; r < to; r++)
        {
            byte* row = weight.Data + r * weight.RowBytes;
            for (int b = 0; b < blocks; b++) blockScales[b] = format.ScaleOf(new ReadOnlySpan<byte>(row + b * format.BlockBytes, format.ScaleBytes));
            new Span<float>(sums, tokens * SumLanes).Clear();
            var arguments = new TrellisRow.Arguments
            {
                Rings = row + format.ScaleBytes,
                Blocks = blocks,
                BlockRings = rings / blocks,
                Gap = format.ScaleBytes,
                BlockScales = blockScales,
                X = codes,
                Scales = scales,
                Sums = sums,
            };
            code.Multiply(ref arguments);
            for (int t = 0; t < tokens; t++) y[(nint)t * weight.Rows + r] = Finish(sums + t * SumLanes, centres + t * blocks, blockScales, blocks);
        }
    }

    /// <summary>Codes and scales in the order of <see cref="TrellisRow.Arguments"/>.</summary>
    private static void Arrange(Activation x, sbyte* codes, float* scales)
    {
        for (int c = 0; c < x.Chunks; c += 2)
            for (int t = 0; t < x.Tokens; t++, codes += 2 * Chunk, scales += 2)
            {
                var from = (int*)(x.Codes + ((nint)t * x.Chunks + c) * Chunk);
                for (int i = 0; i < 8; i++) (((int*)codes)[2 * i], ((int*)codes)[2 * i + 1]) = (from[i], from[8 + i]);
                (scales[0], scales[1]) = (x.Scales[t * x.Chunks + c], x.Scales[t * x.Chunks + c + 1]);
            }
    }

    /// <summary>Of each block of a token 126 times scale times sum of codes.</summary>
    private static void Centre(Activation x, int token, int blockChunks, float* centres)
    {
        for (int c = 0; c < x.Chunks; c += blockChunks, centres++)
        {
            *centres = 0;
            for (int i = token * x.Chunks + c; i < token * x.Chunks + c + blockChunks; i++)
                *centres += TrellisCode.Largest * x.Scales[i] * (x.Sums[2 * i] + x.Sums[2 * i + 1]);
        }
    }

    private static float Finish(float* lanes, float* centres, float* blockScales, int blocks)
    {
        float sum = Vector256.Sum(Vector256.Load(lanes) + Vector256.Load(lanes + 8));
        for (int b = 0; b < blocks; b++) sum -= blockScales[b] * centres[b];
        return sum;
    }
}
