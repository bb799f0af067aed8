using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Nibble.Core.Formats;

/// <summary>
/// 32 codes of 4 bits into a fixed table of unequal levels, under one 16-bit scale: weight = d * level[code]. Byte j holds
/// weight j in its low half and weight j + 16 in its high half. Layout: ggml's block_iq4_nl.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct IQ4_NL : IBlock<IQ4_NL>
{
    public Half D;
    public Bytes16 Q;

    public static string Name => "IQ4_NL";
    public static FormatFamily Family => FormatFamily.Table;
    public static uint? GgufType => 20;
    public static int Size => 32;
    public static int Group => 32;
    public static ReadOnlySpan<sbyte> Levels => IQ4Levels.Values;
    public static bool HalfScales => true;
    public static IReadOnlyList<CodePlanes> CodePlanes => [new(2, 4, 16)];
    public static double ErrorBudget => 0.006;
    public static IReadOnlyList<BlockParameter> BlockParameters => [BlockParameter.OfHalf(0)];

    [SkipLocalsInit]
    public static void Fit(ref IQ4_NL block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        if (BlockSearch.HasRule(options))
        {
            block.D = IntegerCodes.ToHalf(BlockSearch.ScaleByRule(options, weights, IQ4Levels.Ranged));
            return;
        }
        Span<float> errorWeights = stackalloc float[32];
        BlockSearch.ErrorWeights(options.Importance, errorWeights);
        Half stored = IntegerCodes.ToHalf(IQ4Levels.BestScale(weights, errorWeights).Scale);
        float least = float.PositiveInfinity;
        // Small scales are few and far between in 16 bits: the nearest is not always the best.
        for (int step = -1; step <= 1; step++)
        {
            Half candidate = BlockSearch.Step(stored, step);
            float error = IQ4Levels.Error(weights, errorWeights, (float)candidate);
            if (error < least) (least, block.D) = (error, candidate);
        }
    }

    public static void Put(ref IQ4_NL block, int at, ReadOnlySpan<float> weights, Span<float> rounded)
    {
        float d = (float)block.D;
        int code = IQ4Levels.Nearest(d == 0 ? 0 : weights[0] * (1 / d));
        int shift = at < 16 ? 0 : 4;
        block.Q[at & 15] = (byte)((block.Q[at & 15] & (0xF0 >> shift)) | (code << shift));
        rounded[0] = d * IQ4Levels.Values[code];
    }

    public static void Encode(ref IQ4_NL block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        Fit(ref block, weights, options);
        IQ4Levels.Encode(weights, (float)block.D, block.Q);
    }

    public static void Unpack(in IQ4_NL block, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        IQ4Levels.Unpack(block.Q, codes);
        scales[0] = (float)block.D;
        offsets[0] = 0;
    }
}
