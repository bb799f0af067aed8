using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Nibble.Core.Kernels;

/// <summary>
/// Sums of products of 8-bit integers, four columns at a time: lane r of the sum gains
/// w[r, 0] x[0] + ... + w[r, 3] x[3]. Weights are unsigned bytes, inputs signed bytes of magnitude at most 127, broadcast to
/// all lanes. One implementation for each instruction set; all give the same integers.
/// </summary>
public unsafe interface IIntegerDot
{
    static abstract bool IsSupported { get; }

    /// <summary>What <see cref="Add"/> takes from every weight before it multiplies.</summary>
    static virtual int Bias => 0;

    /// <summary>
    /// How many steps may be summed in 16-bit lanes before they must be widened, for codes up to <paramref name="maxCode"/>;
    /// 0 where products go to 32-bit lanes directly.
    /// </summary>
    static abstract int NarrowSteps(int maxCode);

    /// <summary>Adds a step's products in 16-bit lanes (pairs of columns).</summary>
    static abstract Vector256<short> AddNarrow(Vector256<short> sum, Vector256<byte> weights, Vector256<sbyte> x);

    /// <summary>Adds 16-bit lanes, in pairs, to 32-bit lanes.</summary>
    static abstract Vector256<int> Widen(Vector256<int> sum, Vector256<short> narrow);

    /// <summary>Adds a step's products, for weights of any size.</summary>
    static abstract Vector256<int> Add(Vector256<int> sum, Vector256<byte> weights, Vector256<sbyte> x);
}

/// <summary>AVX-VNNI: vpdpbusd multiplies and sums four pairs in one instruction.</summary>
public unsafe struct VnniDot : IIntegerDot
{
    public static bool IsSupported => AvxVnni.IsSupported;

    public static int NarrowSteps(int maxCode) => 0;

    public static Vector256<short> AddNarrow(Vector256<short> sum, Vector256<byte> weights, Vector256<sbyte> x) => sum;

    public static Vector256<int> Widen(Vector256<int> sum, Vector256<short> narrow) => sum;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Add(Vector256<int> sum, Vector256<byte> weights, Vector256<sbyte> x) =>
        AvxVnni.MultiplyWideningAndAdd(sum, weights, x);
}

/// <summary>AVX2: vpmaddubsw sums pairs in 16 bits, saturating, so small codes may stay there for some steps.</summary>
public unsafe struct Avx2Dot : IIntegerDot
{
    public static bool IsSupported => Avx2.IsSupported;

    public static int Bias => 128;

    // A pair of products is at most 2 * 127 * maxCode, and a lane holds 32767.
    public static int NarrowSteps(int maxCode) => maxCode switch { <= 16 => 8, <= 32 => 4, <= 64 => 2, _ => 0 };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<short> AddNarrow(Vector256<short> sum, Vector256<byte> weights, Vector256<sbyte> x) =>
        sum + Avx2.MultiplyAddAdjacent(weights, x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Widen(Vector256<int> sum, Vector256<short> narrow) =>
        sum + Avx2.MultiplyAddAdjacent(narrow, Vector256<short>.One);

    /// <summary>
    /// |w - 128| times x with the sign of w - 128 fits 16 bits; 128 times the sum of x is left to the caller.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Add(Vector256<int> sum, Vector256<byte> weights, Vector256<sbyte> x)
    {
        Vector256<sbyte> signed = (weights ^ Vector256.Create((byte)0x80)).AsSByte();
        Vector256<short> pairs = Avx2.MultiplyAddAdjacent(Avx2.Abs(signed), Avx2.Sign(x, signed));
        return sum + Avx2.MultiplyAddAdjacent(pairs, Vector256<short>.One);
    }
}

/// <summary>Any processor: widened to 16 bits, multiplied, summed by lanes.</summary>
public unsafe struct PortableDot : IIntegerDot
{
    public static bool IsSupported => true;

    public static int NarrowSteps(int maxCode) => 0;

    public static Vector256<short> AddNarrow(Vector256<short> sum, Vector256<byte> weights, Vector256<sbyte> x) => sum;

    public static Vector256<int> Widen(Vector256<int> sum, Vector256<short> narrow) => sum;

    public static Vector256<int> Add(Vector256<int> sum, Vector256<byte> weights, Vector256<sbyte> x)
    {
        // Shifts pick byte k of every 32-bit lane; four products of one lane are summed in it.
        Vector256<int> w = weights.AsInt32(), v = x.AsInt32();
        for (int k = 0; k < 4; k++)
            sum += ((w >>> (8 * k)) & Vector256.Create(255)) * ((v << (24 - 8 * k)) >> 24);
        return sum;
    }
}
