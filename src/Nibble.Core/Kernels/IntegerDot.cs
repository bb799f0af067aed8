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
    /// True if a lane of the sum is two numbers of 16 bits, for two columns each, which a few steps of small codes fill:
    /// they begin with <see cref="Start"/>, and <see cref="Widen"/> adds them up.
    /// </summary>
    static virtual bool IsNarrow => false;

    /// <summary>Adds a step's products.</summary>
    static abstract Vector256<int> Add(Vector256<int> sum, Vector256<byte> weights, Vector256<sbyte> x);

    /// <summary>
    /// What narrow sums begin with, so that they end as sums of level times input, not of code times input: the level of
    /// code 0 times the inputs of each pair of columns, two numbers of 16 bits for all rows.
    /// </summary>
    /// <param name="x">32 inputs.</param>
    /// <param name="level">Of code 0.</param>
    /// <returns>For the first 16 columns, and for the others.</returns>
    static virtual (int First, int Second) Start(sbyte* x, int level) => (0, 0);

    /// <summary>Multiplies both numbers of narrow sums, and adds them.</summary>
    static virtual Vector256<int> Widen(Vector256<int> sum, Vector256<short> factors) => sum;
}

/// <summary>AVX-VNNI: vpdpbusd multiplies and sums four pairs in one instruction.</summary>
public unsafe struct VnniDot : IIntegerDot
{
    public static bool IsSupported => AvxVnni.IsSupported;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Add(Vector256<int> sum, Vector256<byte> weights, Vector256<sbyte> x) =>
        AvxVnni.MultiplyWideningAndAdd(sum, weights, x);
}

/// <summary>
/// AVX2, for codes of at most 6 bits: vpmaddubsw sums pairs in 16 bits, which hold 32 columns of up to 4 bits, or 16 of more.
/// </summary>
/// <remarks>
/// A sum is at most 2 * 127 * the largest level for each step, and must not pass 32,767. Formats of up to 5 bits may have
/// levels from 0 up; the levels of 6 bits lie about zero, -32 to 31. On the way a sum may wrap: it comes back.
/// </remarks>
public unsafe struct Avx2Dot : IIntegerDot
{
    public static bool IsSupported => Avx2.IsSupported;

    public static bool IsNarrow => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Add(Vector256<int> sum, Vector256<byte> weights, Vector256<sbyte> x) =>
        (sum.AsInt16() + Avx2.MultiplyAddAdjacent(weights, x)).AsInt32();

    public static (int First, int Second) Start(sbyte* x, int level)
    {
        // 32-bit lane s holds the pairs of step s; both halves of the vector are summed to all their lanes.
        Vector256<short> pairs = Avx2.MultiplyAddAdjacent(Vector256<byte>.One, Vector256.Load(x)) * Vector256.Create((short)level);
        pairs += Avx2.Shuffle(pairs.AsInt32(), 0b10_11_00_01).AsInt16();
        Vector256<int> sums = (pairs + Avx2.Shuffle(pairs.AsInt32(), 0b01_00_11_10).AsInt16()).AsInt32();
        return (sums[0], sums[4]);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Widen(Vector256<int> sum, Vector256<short> factors) => Avx2.MultiplyAddAdjacent(sum.AsInt16(), factors);
}

/// <summary>AVX2, for bytes of any size.</summary>
public unsafe struct Avx2ByteDot : IIntegerDot
{
    public static bool IsSupported => Avx2.IsSupported;

    public static int Bias => 128;

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

    public static Vector256<int> Add(Vector256<int> sum, Vector256<byte> weights, Vector256<sbyte> x)
    {
        // Shifts pick byte k of every 32-bit lane; four products of one lane are summed in it.
        Vector256<int> w = weights.AsInt32(), v = x.AsInt32();
        for (int k = 0; k < 4; k++)
            sum += ((w >>> (8 * k)) & Vector256.Create(255)) * ((v << (24 - 8 * k)) >> 24);
        return sum;
    }
}
