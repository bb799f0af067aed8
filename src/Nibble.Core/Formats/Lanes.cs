using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Nibble.Core.Formats;

/// <summary>What several formats and kernels do with the lanes of vectors.</summary>
internal static class Lanes
{
    /// <summary>Sixteen bytes as two times eight floats, in order.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static (Vector256<float> Low, Vector256<float> High) ToFloats(Vector128<byte> bytes)
    {
        (Vector256<int> low, Vector256<int> high) = ToInts(bytes);
        return (Vector256.ConvertToSingle(low), Vector256.ConvertToSingle(high));
    }

    /// <summary>Sixteen bytes as two times eight 32-bit lanes, in order.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static (Vector256<int> Low, Vector256<int> High) ToInts(Vector128<byte> bytes)
    {
        if (Avx2.IsSupported)
            return (Avx2.ConvertToVector256Int32(bytes), Avx2.ConvertToVector256Int32(Vector128.Shuffle(bytes.AsUInt64(), Vector128.Create(1ul, 1ul)).AsByte()));
        Vector256<ushort> wide = Vector256.Create(Vector128.WidenLower(bytes), Vector128.WidenUpper(bytes));
        return (Vector256.WidenLower(wide).AsInt32(), Vector256.WidenUpper(wide).AsInt32());
    }

    /// <summary>The largest of eight numbers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Largest(Vector256<float> lanes)
    {
        Vector128<float> most = Vector128.Max(lanes.GetLower(), lanes.GetUpper());
        most = Vector128.Max(most, Vector128.Shuffle(most, Vector128.Create(2, 3, 0, 1)));
        return MathF.Max(most[0], most[1]);
    }
}

/// <summary>A table of sixteen floats in two registers.</summary>
internal readonly struct Table16
{
    public readonly Vector256<float> Lower, Upper;

    /// <param name="entries">Sixteen.</param>
    /// <param name="factor">Multiplies them.</param>
    public Table16(ReadOnlySpan<float> entries, float factor = 1)
    {
        Lower = Vector256.Create(entries[..8]) * factor;
        Upper = Vector256.Create(entries.Slice(8, 8)) * factor;
    }

    /// <summary>For each lane the entry of its index, 0 to 15.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Vector256<float> LookUp(Vector256<int> index)
    {
        // vpermps minds the low three bits only; bit 3, moved to the sign, chooses the half.
        if (Avx2.IsSupported)
            return Avx.BlendVariable(Avx2.PermuteVar8x32(Lower, index), Avx2.PermuteVar8x32(Upper, index), (index << 28).AsSingle());
        Vector256<int> within = index & Vector256.Create(7);
        return Vector256.ConditionalSelect(Vector256.GreaterThan(index, Vector256.Create(7)).AsSingle(),
            Vector256.Shuffle(Upper, within), Vector256.Shuffle(Lower, within));
    }
}
