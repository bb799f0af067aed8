using System.Runtime.Intrinsics;
using Nibble.Core.Formats;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Core.Kernels;

public static unsafe partial class TrellisKernel
{
    private const int Chunk = Activation.Chunk, SumLanes = TrellisRows.SumLanes;

    /// <summary>The same with generated code, two rows and a few tokens at a time.</summary>
    /// <param name="codeFor">The code for so many tokens.</param>
    internal static void MultiplyWide(Weight weight, Activation x, float* y, int from, int to, Func<int, TrellisRows> codeFor)
    {
        int groups = (x.Tokens + TrellisRows.MaxTokens - 1) / TrellisRows.MaxTokens;
        for (int g = 0; g < groups; g++)
        {
            (int first, int end) = ParallelRows.Share(x.Tokens, g, groups);
            MultiplyGroup(weight, x, first, end - first, y + (nint)first * weight.Rows, from, to, codeFor(end - first));
        }
    }

    private static void MultiplyGroup(Weight weight, Activation x, int first, int tokens, float* y, int from, int to, TrellisRows code)
    {
        var format = (TrellisFormat)weight.Format;
        int rings = x.Chunks / 2, blocks = weight.Columns / format.BlockSize;
        GrowingBuffer scratch = t_scratch ??= new GrowingBuffer();
        scratch.Reserve((nint)tokens * (rings * 2 * (Chunk + sizeof(float)) + (blocks + 2 * SumLanes) * sizeof(float)) + 2 * blocks * sizeof(float));
        var codes = (sbyte*)scratch.Pointer;
        var scales = (float*)(codes + (nint)tokens * rings * 2 * Chunk);
        float* sums = scales + tokens * rings * 2, centres = sums + 2 * tokens * SumLanes, blockScales = centres + tokens * blocks;
        Arrange(x, first, tokens, codes, scales);
        for (int t = 0; t < tokens; t++) Centre(x, first + t, format.BlockSize / Chunk, centres + t * blocks);
        var arguments = new TrellisRows.Arguments { Blocks = blocks, BlockRings = rings / blocks, Gap = format.ScaleBytes, X = codes, Scales = scales, Sums = sums };
        for (int r = from; r < to; r += 2)
        {
            int rows = Math.Min(2, to - r);
            arguments.Rings = weight.Data + r * weight.RowBytes + format.ScaleBytes;
            arguments.NextRow = (rows - 1) * weight.RowBytes;
            arguments.BlockScales = blockScales;
            for (int b = 0; b < 2 * blocks; b++)
                blockScales[b] = format.ScaleOf(weight.Row(r + b % rows).Slice(b / 2 * format.BlockBytes, format.ScaleBytes));
            new Span<float>(sums, 2 * tokens * SumLanes).Clear();
            code.Multiply(ref arguments);
            for (int i = 0; i < rows * tokens; i++)
                y[(nint)(i % tokens) * weight.Rows + r + i / tokens] = Finish(sums + i * SumLanes, centres + i % tokens * blocks, blockScales + i / tokens, blocks);
        }
    }

    /// <summary>Codes and scales of some tokens in the order of <see cref="TrellisRows.Arguments"/>.</summary>
    private static void Arrange(Activation x, int first, int tokens, sbyte* codes, float* scales)
    {
        for (int c = 0; c < x.Chunks; c += 2)
            for (int t = first; t < first + tokens; t++, codes += 2 * Chunk, scales += 2)
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
        for (int b = 0; b < blocks; b++) sum -= blockScales[2 * b] * centres[b];
        return sum;
    }
}
