using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Nibble.Core.Formats;

/// <summary>
/// 32 codes of 4 bits under one 16-bit scale: weight = d * (code - 8). Byte j holds weight j in its low half and weight
/// j + 16 in its high half. Layout: ggml's block_q4_0.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct Q4_0 : IBlock<Q4_0>
{
    public Half D;
    public Nibbles Q;

    [InlineArray(16)]
    public struct Nibbles { private byte _first; }

    public static string Name => "Q4_0";
    public static FormatFamily Family => FormatFamily.Linear;
    public static uint? GgufType => 2;
    public static int Size => 32;
    public static int Group => 32;
    public static ReadOnlySpan<sbyte> Levels => [-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7];
    public static bool HalfScales => true;
    public static double ErrorBudget => 0.012;

    public static void Fit(ref Q4_0 block, ReadOnlySpan<float> weights, in FitOptions options) =>
        block.D = (Half)(Extreme(weights) / -8);

    public static void Put(ref Q4_0 block, int at, ReadOnlySpan<float> weights, Span<float> rounded)
    {
        float d = (float)block.D;
        int code = d == 0 ? 8 : (int)Math.Clamp(MathF.Round(weights[0] / d) + 8, 0, 15);
        int shift = at < 16 ? 0 : 4;
        block.Q[at & 15] = (byte)((block.Q[at & 15] & (0xF0 >> shift)) | (code << shift));
        rounded[0] = d * (code - 8);
    }

    /// <summary>As ggml rounds: by the scale before it is stored in 16 bits.</summary>
    public static void Encode(ref Q4_0 block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        float d = Extreme(weights) / -8;
        float inverse = d == 0 ? 0 : 1 / d;
        block.D = (Half)d;
        for (int i = 0; i < 16; i++)
        {
            int low = Math.Min(15, (int)(weights[i] * inverse + 8.5f));
            int high = Math.Min(15, (int)(weights[i + 16] * inverse + 8.5f));
            block.Q[i] = (byte)(low | (high << 4));
        }
    }

    public static void Decode(in Q4_0 block, Span<float> weights)
    {
        float d = (float)block.D;
        for (int i = 0; i < 16; i++)
        {
            weights[i] = d * ((block.Q[i] & 15) - 8);
            weights[i + 16] = d * ((block.Q[i] >> 4) - 8);
        }
    }

    public static void Unpack(in Q4_0 block, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        for (int i = 0; i < 16; i++)
        {
            codes[i] = (sbyte)((block.Q[i] & 15) - 8);
            codes[i + 16] = (sbyte)((block.Q[i] >> 4) - 8);
        }
        scales[0] = (float)block.D;
        offsets[0] = 0;
    }

    /// <summary>The weight of largest magnitude, with its sign: it lands on code 0, so all 16 codes are used.</summary>
    private static float Extreme(ReadOnlySpan<float> weights)
    {
        float extreme = 0;
        foreach (float w in weights)
            if (MathF.Abs(w) > MathF.Abs(extreme)) extreme = w;
        return extreme;
    }
}
