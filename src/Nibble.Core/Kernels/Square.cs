using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Nibble.Core.Kernels;

/// <summary>A matrix of four by four lanes.</summary>
internal static unsafe class Square
{
    /// <summary>Stores its columns, the given bytes apart: the first is lane 0 of a, b, c and d.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Turn(Vector128<uint> a, Vector128<uint> b, Vector128<uint> c, Vector128<uint> d, byte* target, nint apart)
    {
        if (Sse2.IsSupported)
        {
            Vector128<ulong> low = Sse2.UnpackLow(a, b).AsUInt64(), high = Sse2.UnpackHigh(a, b).AsUInt64();
            Vector128<ulong> low2 = Sse2.UnpackLow(c, d).AsUInt64(), high2 = Sse2.UnpackHigh(c, d).AsUInt64();
            Sse2.UnpackLow(low, low2).AsUInt32().Store((uint*)target);
            Sse2.UnpackHigh(low, low2).AsUInt32().Store((uint*)(target + apart));
            Sse2.UnpackLow(high, high2).AsUInt32().Store((uint*)(target + 2 * apart));
            Sse2.UnpackHigh(high, high2).AsUInt32().Store((uint*)(target + 3 * apart));
            return;
        }
        (Vector128<uint> ab, Vector128<uint> abHigh) = Interleave(a, b);
        (Vector128<uint> cd, Vector128<uint> cdHigh) = Interleave(c, d);
        Vector128.Create(ab.GetLower(), cd.GetLower()).Store((uint*)target);
        Vector128.Create(ab.GetUpper(), cd.GetUpper()).Store((uint*)(target + apart));
        Vector128.Create(abHigh.GetLower(), cdHigh.GetLower()).Store((uint*)(target + 2 * apart));
        Vector128.Create(abHigh.GetUpper(), cdHigh.GetUpper()).Store((uint*)(target + 3 * apart));
    }

    /// <summary>(x0, y0, x1, y1) and (x2, y2, x3, y3).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector128<uint> Low, Vector128<uint> High) Interleave(Vector128<uint> x, Vector128<uint> y)
    {
        // Widened x has zeros in its odd lanes, where y goes.
        Vector128<ulong> low = Vector128.WidenLower(x) | (Vector128.WidenLower(y) << 32);
        Vector128<ulong> high = Vector128.WidenUpper(x) | (Vector128.WidenUpper(y) << 32);
        return (low.AsUInt32(), high.AsUInt32());
    }
}
