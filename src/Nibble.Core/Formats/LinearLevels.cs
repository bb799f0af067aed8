using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>Where the zero of a linear quantizer lies.</summary>
public enum LinearKind
{
    /// <summary>Half of the codes below zero: weight = scale * (code - 2^(N-1)).</summary>
    Symmetric,
    /// <summary>At a code of the block's own: weight = step * (code - zero point).</summary>
    ZeroPoint,
    /// <summary>Anywhere: weight = step * code + minimum.</summary>
    Minimum,
}

/// <summary>Equal steps: <c>code = clamp(round((weight - Minimum) / Step + Zero))</c>, <c>weight = Step * (code - Zero) + Minimum</c>.</summary>
/// <param name="Step">The distance of neighbours; below zero where code 0 is the greatest.</param>
/// <param name="Zero">The code of zero; a whole number but for one symmetric bit, where it is a half.</param>
/// <param name="Minimum">The weight of code 0 where there is no zero point.</param>
internal readonly record struct LinearGrid(float Step, float Zero, float Minimum)
{
    // Of a step so small that its inverse would overflow, zero is as good.
    private float Inverse { get; } = MathF.Abs(Step) < 1e-37f ? 0 : 1 / Step;

    public float Decode(int code) => Step * (code - Zero) + Minimum;

    /// <summary>The scalar meaning of <see cref="Quantize"/>.</summary>
    public int Encode(float weight, int top) => (int)MathF.Round(Math.Clamp((weight - Minimum) * Inverse + Zero, 0, top));

    /// <summary>Nearest codes, halves to even, in [0, top].</summary>
    public void Quantize(ReadOnlySpan<float> weights, int top, Span<byte> codes)
    {
        int i = 0;
        if (Vector256.IsHardwareAccelerated && weights.Length >= 32)
        {
            ref float from = ref MemoryMarshal.GetReference(weights);
            ref byte to = ref MemoryMarshal.GetReference(codes[..weights.Length]);
            for (; i + 32 <= weights.Length; i += 32)
            {
                // Four times eight 32-bit lanes narrow to 32 bytes in order.
                Vector256<int> a = Round(Vector256.LoadUnsafe(ref from, (nuint)i), top);
                Vector256<int> b = Round(Vector256.LoadUnsafe(ref from, (nuint)i + 8), top);
                Vector256<int> c = Round(Vector256.LoadUnsafe(ref from, (nuint)i + 16), top);
                Vector256<int> d = Round(Vector256.LoadUnsafe(ref from, (nuint)i + 24), top);
                Vector256.Narrow(Vector256.Narrow(a, b).AsUInt16(), Vector256.Narrow(c, d).AsUInt16()).StoreUnsafe(ref to, (nuint)i);
            }
        }
        for (; i < weights.Length; i++) codes[i] = (byte)Encode(weights[i], top);
    }

    /// <summary>The weights of codes.</summary>
    public void Dequantize(ReadOnlySpan<byte> codes, Span<float> weights)
    {
        int i = 0;
        if (Vector256.IsHardwareAccelerated)
        {
            ref byte from = ref MemoryMarshal.GetReference(codes);
            ref float to = ref MemoryMarshal.GetReference(weights[..codes.Length]);
            var step = Vector256.Create(Step);
            var zero = Vector256.Create(Zero);
            var minimum = Vector256.Create(Minimum);
            for (; i + 16 <= codes.Length; i += 16)
            {
                (Vector256<float> a, Vector256<float> b) = Lanes.ToFloats(Vector128.LoadUnsafe(ref from, (nuint)i));
                (step * (a - zero) + minimum).StoreUnsafe(ref to, (nuint)i);
                (step * (b - zero) + minimum).StoreUnsafe(ref to, (nuint)i + 8);
            }
        }
        for (; i < codes.Length; i++) weights[i] = Decode(codes[i]);
    }

    /// <summary>The weights of 4-bit codes, two a byte: as unpacking and <see cref="Dequantize"/>, in one pass.</summary>
    /// <param name="packed">16 bytes for each 32 weights.</param>
    /// <param name="weights">A multiple of 32.</param>
    public void DequantizeNibbles(ReadOnlySpan<byte> packed, Span<float> weights)
    {
        ref byte from = ref MemoryMarshal.GetReference(packed[..(weights.Length / 2)]);
        ref float to = ref MemoryMarshal.GetReference(weights);
        var step = Vector256.Create(Step);
        var zero = Vector256.Create(Zero);
        var minimum = Vector256.Create(Minimum);
        for (int i = 0; i < weights.Length; i += 32)
        {
            (Vector128<byte> first, Vector128<byte> second) = BitPacking.SplitNibbles(Vector128.LoadUnsafe(ref from, (nuint)i / 2));
            (Vector256<float> a, Vector256<float> b) = Lanes.ToFloats(first);
            (step * (a - zero) + minimum).StoreUnsafe(ref to, (nuint)i);
            (step * (b - zero) + minimum).StoreUnsafe(ref to, (nuint)i + 8);
            (a, b) = Lanes.ToFloats(second);
            (step * (a - zero) + minimum).StoreUnsafe(ref to, (nuint)i + 16);
            (step * (b - zero) + minimum).StoreUnsafe(ref to, (nuint)i + 24);
        }
    }

    /// <summary>The sum of squared errors of nearest rounding, each times its importance where there is one.</summary>
    public double Error(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, int top)
    {
        double sum = 0;
        int i = 0;
        if (Vector256.IsHardwareAccelerated && weights.Length >= 8)
        {
            ref float from = ref MemoryMarshal.GetReference(weights);
            ref float matter = ref MemoryMarshal.GetReference(importance);
            var step = Vector256.Create(Step);
            var zero = Vector256.Create(Zero);
            var minimum = Vector256.Create(Minimum);
            while (i + 8 <= weights.Length)
            {
                // Float lanes sum 64 squares at most before they are added in double.
                Vector256<float> part = default;
                for (int end = Math.Min(weights.Length, i + 512); i + 8 <= end; i += 8)
                {
                    Vector256<float> w = Vector256.LoadUnsafe(ref from, (nuint)i);
                    Vector256<float> e = w - (step * (RoundToFloat(w, top) - zero) + minimum);
                    part += importance.IsEmpty ? e * e : e * e * Vector256.LoadUnsafe(ref matter, (nuint)i);
                }
                sum += Vector256.Sum(part);
            }
        }
        for (; i < weights.Length; i++)
        {
            double e = weights[i] - Decode(Encode(weights[i], top));
            sum += importance.IsEmpty ? e * e : e * e * importance[i];
        }
        return sum;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Vector256<float> RoundToFloat(Vector256<float> weights, int top)
    {
        Vector256<float> place = (weights - Vector256.Create(Minimum)) * Vector256.Create(Inverse) + Vector256.Create(Zero);
        return Vector256.Round(Vector256.Min(Vector256.Max(place, Vector256<float>.Zero), Vector256.Create((float)top)));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Vector256<int> Round(Vector256<float> weights, int top) => Vector256.ConvertToInt32(RoundToFloat(weights, top));
}

/// <summary>The levels of a linear quantizer, laid over an interval.</summary>
/// <param name="bits">Bits a code.</param>
/// <param name="kind">Where zero lies.</param>
/// <param name="negative">Symmetric only: the scale is below zero, so that the spare level lies above.</param>
/// <param name="powerOfTwo">The step is the least power of two that covers the interval.</param>
internal sealed class LinearLevels(int bits, LinearKind kind, bool negative, bool powerOfTwo) : IQuantizerLevels
{
    public int Count => 1 << bits;
    public bool Symmetric => kind == LinearKind.Symmetric;

    /// <summary>
    /// The grid over [low, high]. With a zero point the interval is widened to hold zero, step = (high - low)/(2^N - 1) and
    /// zero = round(-low/step); a symmetric grid reaches the larger magnitude on the side of its spare level.
    /// </summary>
    public LinearGrid Lay(float low, float high)
    {
        int top = Count - 1;
        switch (kind)
        {
            case LinearKind.Symmetric:
                float reach = Math.Max(Math.Abs(low), Math.Abs(high));
                float scale = bits == 1 ? reach : reach / (Count / 2);
                if (powerOfTwo && scale > 0) scale = MathF.ScaleB(1, ScaleArray.ExponentAtLeast(scale));
                return OfScale(negative ? -scale : scale);
            case LinearKind.ZeroPoint:
                (low, high) = (Math.Min(low, 0), Math.Max(high, 0));
                var step = (float)(((double)high - low) / top);
                return new LinearGrid(step, ZeroPoint(low, step), 0);
            default:
                return new LinearGrid((float)(Math.Max(0, (double)high - low) / top), 0, low);
        }
    }

    /// <summary>The symmetric grid of a stored scale; one bit holds plus and minus the scale.</summary>
    public LinearGrid OfScale(float scale) => bits == 1 ? new LinearGrid(2 * scale, 0.5f, 0) : new LinearGrid(scale, Count / 2, 0);

    /// <summary>The code that stands for zero when code 0 stands for <paramref name="low"/>, or near it.</summary>
    public int ZeroPoint(float low, float step) => step == 0 ? 0 : (int)MathF.Round(Math.Clamp(-low / step, 0, Count - 1));

    public float Round(float weight, float low, float high)
    {
        LinearGrid grid = Lay(low, high);
        return grid.Decode(grid.Encode(weight, Count - 1));
    }

    public double Error(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, float low, float high) =>
        Lay(low, high).Error(weights, importance, Count - 1);
}
