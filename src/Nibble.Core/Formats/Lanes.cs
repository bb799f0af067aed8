using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Nibble.Core.Formats;

/// <summary>Lane conversions that several formats decode with.</summary>
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
}
