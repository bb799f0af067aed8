using System.Runtime.InteropServices;

namespace Nibble.Core.Formats;

/// <summary>
/// 256 ternary codes of 2 bits under one 16-bit scale: weight = d * (code - 1). Two runs of 32 bytes, each four
/// <see cref="BitPlanes"/> of 32 codes. Layout: ggml's block_tq2_0.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct TQ2_0 : IBlock<TQ2_0>
{
    public Bytes64 Q;
    public Half D;

    public static string Name => "TQ2_0";
    public static FormatFamily Family => FormatFamily.Linear;
    public static uint? GgufType => 35;
    public static int Size => 256;
    public static int Group => 256;
    public static ReadOnlySpan<sbyte> Levels => [-1, 0, 1];
    public static bool HalfScales => true;
    public static IReadOnlyList<CodePlanes> CodePlanes => [new(0, 2, 32)];
    public static IReadOnlyList<BlockParameter> BlockParameters => [BlockParameter.OfHalf(64)];
    public static double ErrorBudget => 0.7;

    public static void Fit(ref TQ2_0 block, ReadOnlySpan<float> weights, in FitOptions options) =>
        block.D = ScaleFit.Fit(weights, options, ScaleGrid.Ternary);

    public static void Put(ref TQ2_0 block, int at, ReadOnlySpan<float> weights, Span<float> rounded)
    {
        float d = (float)block.D;
        int code = IntegerCodes.Round(weights[0], d, 0, -1, 1);
        BitPlanes.Set(((Span<byte>)block.Q).Slice(at / 128 * 32, 32), 2, at % 128, code + 1);
        rounded[0] = d * code;
    }

    public static void Encode(ref TQ2_0 block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        Span<sbyte> codes = stackalloc sbyte[256];
        block.D = ScaleFit.Encode(weights, options, ScaleGrid.Ternary, codes);
        IntegerCodes.Shift(codes, 1);
        BitPlanes.Pack(codes[..128], 2, block.Q[..32]);
        BitPlanes.Pack(codes[128..], 2, block.Q[32..]);
    }

    public static void Unpack(in TQ2_0 block, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        BitPlanes.Unpack(block.Q[..32], 2, codes);
        BitPlanes.Unpack(block.Q[32..], 2, codes[128..]);
        IntegerCodes.Shift(codes, -1);
        scales[0] = (float)block.D;
        offsets[0] = 0;
    }
}
