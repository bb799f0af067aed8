using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Nibble.Core.Kernels;

/// <summary>Matrices of four by four lanes.</summary>
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

    /// <summary>Stores the columns of two squares: eight rows, of which a to d have 0 to 3 in their lower halves, 4 to 7 in their upper.</summary>
    /// <param name="a">Rows 0 and 4.</param>
    /// <param name="b">Rows 1 and 5.</param>
    /// <param name="c">Rows 2 and 6.</param>
    /// <param name="d">Rows 3 and 7.</param>
    /// <param name="target">[4 columns, 8 rows].</param>
    /// <param name="apart">Lanes from a column to the next.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Turn(Vector256<uint> a, Vector256<uint> b, Vector256<uint> c, Vector256<uint> d, uint* target, int apart)
    {
        if (!Avx2.IsSupported)
        {
            Turn(a.GetLower(), b.GetLower(), c.GetLower(), d.GetLower(), (byte*)target, (nint)apart * sizeof(uint));
            Turn(a.GetUpper(), b.GetUpper(), c.GetUpper(), d.GetUpper(), (byte*)(target + 4), (nint)apart * sizeof(uint));
            return;
        }
        // Pairs of rows are interleaved, then pairs of pairs.
        Vector256<ulong> ab = Avx2.UnpackLow(a, b).AsUInt64(), abHigh = Avx2.UnpackHigh(a, b).AsUInt64();
        Vector256<ulong> cd = Avx2.UnpackLow(c, d).AsUInt64(), cdHigh = Avx2.UnpackHigh(c, d).AsUInt64();
        Avx2.UnpackLow(ab, cd).AsUInt32().Store(target);
        Avx2.UnpackHigh(ab, cd).AsUInt32().Store(target + apart);
        Avx2.UnpackLow(abHigh, cdHigh).AsUInt32().Store(target + 2 * apart);
        Avx2.UnpackHigh(abHigh, cdHigh).AsUInt32().Store(target + 3 * apart);
    }

    /// <summary>A tile's rows of codes of a byte to the order of <see cref="ICodeLayout"/>: step c / 4 is 64 bytes, of which row r's four columns are bytes 4 r to 4 r + 3.</summary>
    /// <param name="rows">[16, columns].</param>
    /// <param name="apart">Bytes from a row to the next.</param>
    /// <param name="columns">A multiple of 16.</param>
    /// <param name="codes">[columns / 4, 64].</param>
    public static void TurnRows(byte* rows, int apart, int columns, byte* codes)
    {
        for (int column = 0; column < columns; column += 16)
            for (int r = 0; r < PackedMatrix.TileRows; r += 4)
            {
                byte* at = rows + r * apart + column;
                Turn(Load(at), Load(at + apart), Load(at + 2 * apart), Load(at + 3 * apart), codes + column * PackedMatrix.TileRows + r * 4, 64);
            }

        static Vector128<uint> Load(byte* at) => Vector128.Load((uint*)at);
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
