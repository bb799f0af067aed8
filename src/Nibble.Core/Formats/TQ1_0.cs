using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>
/// 256 ternary codes, five a byte, under one 16-bit scale: weight = d * (trit - 1). A byte holds the number of its trits
/// in base 3, the first most significant, as a fraction of 256 rounded up: multiplying it by 3 lifts the next trit above
/// bit 7. Layout: ggml's block_tq1_0.
/// </summary>
/// <remarks>Trits of weights 0 to 159 run along bytes 0 to 31, 160 to 239 along bytes 32 to 47, the last 16 along four.</remarks>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct TQ1_0 : IBlock<TQ1_0>
{
    public Bytes48 Q;
    public Bytes4 Rest;
    public Half D;

    public static string Name => "TQ1_0";
    public static FormatFamily Family => FormatFamily.Linear;
    public static uint? GgufType => 34;
    public static int Size => 256;
    public static int Group => 256;
    public static ReadOnlySpan<sbyte> Levels => [-1, 0, 1];
    public static bool HalfScales => true;
    public static double ErrorBudget => 0.7;

    private static ReadOnlySpan<byte> Powers => [1, 3, 9, 27, 81];

    public static void Fit(ref TQ1_0 block, ReadOnlySpan<float> weights, in FitOptions options) =>
        block.D = ScaleFit.Fit(weights, options, ScaleGrid.Ternary);

    public static void Put(ref TQ1_0 block, int at, ReadOnlySpan<float> weights, Span<float> rounded)
    {
        float d = (float)block.D;
        int code = IntegerCodes.Round(weights[0], d, 0, -1, 1);
        if (at < 160) SetTrit(ref block.Q[at % 32], at / 32, code + 1);
        else if (at < 240) SetTrit(ref block.Q[32 + at % 16], (at - 160) / 16, code + 1);
        else SetTrit(ref block.Rest[at % 4], (at - 240) / 4, code + 1);
        rounded[0] = d * code;
    }

    public static void Encode(ref TQ1_0 block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        Span<sbyte> codes = stackalloc sbyte[256];
        block.D = ScaleFit.Encode(weights, options, ScaleGrid.Ternary, codes);
        PackTrits(codes[..160], block.Q[..32]);
        PackTrits(codes[160..240], block.Q[32..]);
        PackTrits(codes[240..], block.Rest);
    }

    public static void Unpack(in TQ1_0 block, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        UnpackTrits(block.Q[..16], codes, 32);
        UnpackTrits(block.Q[16..32], codes[16..], 32);
        UnpackTrits(block.Q[32..], codes[160..], 16);
        for (int i = 0; i < 16; i++) codes[240 + i] = (sbyte)(Trit(block.Rest[i % 4], i / 4) - 1);
        scales[0] = (float)block.D;
        offsets[0] = 0;
    }

    private static int Trit(byte packed, int place) => ((byte)(packed * Powers[place]) * 3) >> 8;

    private static void SetTrit(ref byte packed, int place, int trit)
    {
        int number = 0;
        for (int k = 0; k < 5; k++) number = 3 * number + (k == place ? trit : Trit(packed, k));
        packed = PackNumber(number);
    }

    /// <summary>ceil(number * 256 / 243).</summary>
    private static byte PackNumber(int number) => (byte)((number * 256 + 242) / 243);

    private static void PackTrits(ReadOnlySpan<sbyte> codes, Span<byte> bytes)
    {
        for (int i = 0; i < bytes.Length; i++)
        {
            int number = 0, at = i;
            for (int k = 0; k < 5; k++, at += bytes.Length) number = 3 * number + (at < codes.Length ? codes[at] + 1 : 0);
            bytes[i] = PackNumber(number);
        }
    }

    /// <summary>The five codes of each of 16 bytes; code k of byte i goes to place i + k * stride.</summary>
    private static void UnpackTrits(ReadOnlySpan<byte> bytes, Span<sbyte> codes, int stride)
    {
        // Lane i is byte i, widened; its low 8 bits are the fraction that is left.
        Vector256<ushort> rest = Vector256.WidenLower(Vector128.Create(bytes).ToVector256Unsafe());
        for (int k = 0; k < 5; k++)
        {
            Vector256<ushort> lifted = rest * 3;
            Vector256<short> trits = (lifted >>> 8).AsInt16() - Vector256<short>.One;
            Vector128.Narrow(trits.GetLower(), trits.GetUpper()).CopyTo(codes[(k * stride)..]);
            rest = lifted & Vector256.Create((ushort)0xFF);
        }
    }
}
