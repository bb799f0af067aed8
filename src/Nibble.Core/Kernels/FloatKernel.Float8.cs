using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Nibble.Core.Formats;

namespace Nibble.Core.Kernels;

internal static unsafe partial class FloatKernel
{
    // Floats of 8 bits. Exponent and mantissa go to their place below the sign, whose copies a mask drops, and two to the difference
    // of the exponents' biases makes the number: as in Half16.Load, exact for all finite values.

    private interface IFloat8 : IReader
    {
        /// <summary>Exponent and mantissa at their place in 32 bits. The shift stands here as a number: one that the compiler must find out to be constant comes from a register.</summary>
        static abstract Vector256<int> Place(Vector256<int> bits);

        /// <summary>Two to the difference of the biases.</summary>
        static abstract float Rescale { get; }
    }

    private struct E4M3Reader : IFloat8
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<int> Place(Vector256<int> bits) => (bits << 20) & Vector256.Create(int.MinValue | 127 << 20);

        public static float Rescale => 1.329227995784916e36f; // 2^120
        public static int Size => 1;
        public static bool Deals => false;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static (Vector256<float> First, Vector256<float> Second) Read(byte* at) => Read<E4M3Reader>(at, Vector256.Create(Rescale));

        public static float One(byte* at) => Float8.E4M3[*at];
    }

    private struct E5M2Reader : IFloat8
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<int> Place(Vector256<int> bits) => (bits << 21) & Vector256.Create(int.MinValue | 127 << 21);

        public static float Rescale => 5.192296858534828e33f; // 2^112
        public static int Size => 1;
        public static bool Deals => false;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static (Vector256<float> First, Vector256<float> Second) Read(byte* at) => Read<E5M2Reader>(at, Vector256.Create(Rescale));

        public static float One(byte* at) => Float8.E5M2[*at];
    }

    /// <summary>16 numbers over <see cref="IFloat8.Rescale"/>, times a factor.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector256<float> First, Vector256<float> Second) Read<TFloat>(byte* at, Vector256<float> factor) where TFloat : struct, IFloat8
    {
        (Vector256<int> low, Vector256<int> high) = Widen((sbyte*)at);
        return (TFloat.Place(low).AsSingle() * factor, TFloat.Place(high).AsSingle() * factor);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector256<int> Low, Vector256<int> High) Widen(sbyte* at)
    {
        if (Avx2.IsSupported) return (Avx2.ConvertToVector256Int32(at), Avx2.ConvertToVector256Int32(at + 8));
        (Vector128<short> low, Vector128<short> high) = Vector128.Widen(Vector128.Load(at));
        return (Vector256.Create(Vector128.WidenLower(low), Vector128.WidenUpper(low)), Vector256.Create(Vector128.WidenLower(high), Vector128.WidenUpper(high)));
    }

    /// <summary>A row of 8-bit floats whose groups have scales, times an input.</summary>
    /// <param name="isE4M3">Their kind: E4M3, or E5M2.</param>
    /// <param name="codes">The first code of the first block.</param>
    /// <param name="x">The input.</param>
    /// <param name="scales">One a group.</param>
    /// <param name="size">Codes of a group, a multiple of 16.</param>
    /// <param name="blockGroups">Groups whose codes follow each other without a gap.</param>
    /// <param name="blockBytes">Bytes from a block to the next.</param>
    public static float DotGroups(bool isE4M3, byte* codes, float* x, ReadOnlySpan<float> scales, int size, int blockGroups, int blockBytes) => isE4M3
        ? DotGroups<E4M3Reader>(codes, x, scales, size, blockGroups, blockBytes)
        : DotGroups<E5M2Reader>(codes, x, scales, size, blockGroups, blockBytes);

    private static float DotGroups<TFloat>(byte* block, float* x, ReadOnlySpan<float> scales, int size, int blockGroups, int blockBytes)
        where TFloat : struct, IFloat8
    {
        // Half of what is missing goes with the scale, in the multiplication that is there anyway, half with the sum, so that neither overflows.
        const float Half = 1.152921504606847e18f; // 2^60
        // Four sums, for a multiply-add takes four cycles and two begin in each.
        Vector256<float> a = default, b = default, c = default, d = default;
        for (int g = 0; g < scales.Length; block += blockBytes)
        {
            byte* at = block;
            for (int i = 0; i < blockGroups; i++, g++)
            {
                var factor = Vector256.Create(scales[g] * Half);
                byte* end = at + size;
                for (; at <= end - 32; at += 32, x += 32)
                {
                    Add<TFloat>(ref a, ref b, at, factor, x);
                    Add<TFloat>(ref c, ref d, at + 16, factor, x + 16);
                }
                for (; at < end; at += 16, x += 16) Add<TFloat>(ref a, ref b, at, factor, x);
            }
            if (Sse.IsSupported) Sse.Prefetch0(block + PrefetchAhead);
        }
        return Vector256.Sum(a + b + (c + d)) * (TFloat.Rescale / Half);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add<TFloat>(ref Vector256<float> a, ref Vector256<float> b, byte* at, Vector256<float> factor, float* x) where TFloat : struct, IFloat8
    {
        (Vector256<float> first, Vector256<float> second) = Read<TFloat>(at, factor);
        a = Vector256.FusedMultiplyAdd(first, Vector256.Load(x), a);
        b = Vector256.FusedMultiplyAdd(second, Vector256.Load(x + 8), b);
    }
}
