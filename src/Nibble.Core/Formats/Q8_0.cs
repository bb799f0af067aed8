using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Nibble.Core.Formats;

/// <summary>32 signed bytes under one 16-bit scale: weight = d * q. Layout: ggml's block_q8_0.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct Q8_0 : IBlock<Q8_0>
{
    public Half D;
    public Codes Q;

    [InlineArray(32)]
    public struct Codes { private sbyte _first; }

    public static string Name => "Q8_0";
    public static FormatFamily Family => FormatFamily.Linear;
    public static uint? GgufType => 8;
    public static int Size => 32;
    public static int Group => 32;
    public static bool HalfScales => true;
    public static double ErrorBudget => 1e-4;

    public static void Fit(ref Q8_0 block, ReadOnlySpan<float> weights, in FitOptions options) =>
        block.D = (Half)(LargestMagnitude(weights) / 127);

    public static void Put(ref Q8_0 block, int at, ReadOnlySpan<float> weights, Span<float> rounded)
    {
        float d = (float)block.D;
        block.Q[at] = d == 0 ? (sbyte)0 : (sbyte)Math.Clamp(MathF.Round(weights[0] / d), -127, 127);
        rounded[0] = d * block.Q[at];
    }

    /// <summary>As ggml rounds: by the scale before it is stored in 16 bits, halves away from zero.</summary>
    public static void Encode(ref Q8_0 block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        float d = LargestMagnitude(weights) / 127;
        float inverse = d == 0 ? 0 : 1 / d;
        block.D = (Half)d;
        for (int i = 0; i < 32; i++)
            block.Q[i] = (sbyte)MathF.Round(weights[i] * inverse, MidpointRounding.AwayFromZero);
    }

    public static void Decode(in Q8_0 block, Span<float> weights)
    {
        float d = (float)block.D;
        for (int i = 0; i < 32; i++) weights[i] = d * block.Q[i];
    }

    public static void Unpack(in Q8_0 block, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        ((ReadOnlySpan<sbyte>)block.Q).CopyTo(codes);
        scales[0] = (float)block.D;
        offsets[0] = 0;
    }

    private static float LargestMagnitude(ReadOnlySpan<float> weights)
    {
        float largest = 0;
        foreach (float w in weights) largest = MathF.Max(largest, MathF.Abs(w));
        return largest;
    }
}
