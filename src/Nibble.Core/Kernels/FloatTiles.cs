using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Nibble.Core.Formats;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Core.Kernels;

/// <summary>
/// A weight of bfloat16 numbers (as such, or as F16 that were made of them) in 12 bits each, exactly: a byte of sign and mantissa, and
/// half a byte for the exponent, of which a trained matrix hardly has more than 15 near each other. Numbers of other exponents are
/// listed by themselves: a few of ten thousand. What waits for memory reads a quarter less so.
/// </summary>
/// <remarks>
/// Tiles of 32 rows, one behind the other: a table of 32 words, what exponents the codes stand for (twice 16; code 0 stands for zero),
/// then for every pair of columns the bytes of both numbers of rows 0 to 31, and 32 bytes whose lower halves are the codes of rows 0 to
/// 15, upper halves those of rows 16 to 31. That the exponents of weights take few bits has long been known and used to store them, with
/// codes of variable length (Zhang et al., 70 % Size, 100 % Accuracy: DFloat11, arXiv:2504.11651); codes of one length are
/// decoded as fast as memory brings them.
/// </remarks>
public sealed unsafe class FloatTiles
{
    public const int TileRows = PairPanel.Rows;

    /// <summary>Bytes of a tile's table.</summary>
    internal const int TableBytes = 32 * sizeof(ushort);

    /// <summary>Bytes of a pair of columns: 64 of signs and mantissas, then 32 of codes.</summary>
    internal const int PairBytes = 96, CodesAt = 64;

    private const int ExponentShift = 7, Codes = 15;

    /// <summary>Numbers for each of which one may be listed; of others there is no point in it.</summary>
    private const int NumbersAnOutlier = 512;

    private readonly byte* _tiles;
    private readonly object _owner;
    private readonly Outlier[][] _outliers;

    [ThreadStatic] private static GrowingBuffer? t_numbers;

    /// <summary>A number that has no code.</summary>
    /// <param name="Column">Of the weight.</param>
    /// <param name="Row">Of the tile.</param>
    /// <param name="Bits">The number, a bfloat16.</param>
    internal readonly record struct Outlier(int Column, byte Row, ushort Bits)
    {
        public float Value => BitConverter.Int32BitsToSingle(Bits << 16);
    }

    private FloatTiles(Weight weight, WorkerPool pool)
    {
        (Rows, Columns) = (weight.Rows, weight.Columns);
        Tiles = (Rows + TileRows - 1) / TileRows;
        TileBytes = TileBytesOf(Columns);
        _tiles = Slab.Allocate(TileBytes * Tiles, weight, pool, out _owner);
        _outliers = new Outlier[Tiles][];
    }

    public int Rows { get; }
    public int Columns { get; }
    public int Tiles { get; }
    public nint TileBytes { get; }
    public long Bytes => (long)TileBytes * Tiles;

    /// <summary>Numbers that are listed.</summary>
    public long Outliers => _outliers.Sum(o => (long)o.Length);

    internal MemoryRange Range => new((nint)_tiles, TileBytes, Tiles);

    internal byte* Tile(int tile) => _tiles + tile * TileBytes;

    internal ReadOnlySpan<Outlier> OutliersOf(int tile) => _outliers[tile];

    /// <summary>Whether such weights can be packed, if their numbers allow it.</summary>
    public static bool CanPack(Weight weight) =>
        (weight.Format == FloatFormat.F16 || weight.Format == FloatFormat.BF16) && weight.Columns % PairRows.LineColumns == 0;

    /// <summary>The tiles; null if there are numbers that are no bfloat16, or too many far from the others.</summary>
    /// <param name="weight">One that <see cref="CanPack"/>.</param>
    /// <param name="pool">The workers that share the tiles.</param>
    public static FloatTiles? Pack(Weight weight, WorkerPool pool)
    {
        if (!IsPackable(weight)) return null;
        var tiles = new FloatTiles(weight, pool);
        var job = new PackJob { Tiles = tiles, Weight = weight };
        pool.Run(ref job, tiles.Tiles, 1);
        return Array.TrueForAll(tiles._outliers, o => o is not null) ? tiles : null;
    }

    /// <summary>The first tile tells most often.</summary>
    private static bool IsPackable(Weight weight)
    {
        using var tile = new NativeBuffer(TileBytesOf(weight.Columns), clear: false);
        return PackTile(weight, 0, tile.Pointer, t_numbers ??= new GrowingBuffer(), []);
    }

    private static nint TileBytesOf(int columns) => TableBytes + (nint)(columns / 2) * PairBytes;

    private struct PackJob : IRangeJob
    {
        public FloatTiles Tiles;
        public Weight Weight;

        public readonly void Run(int from, int to)
        {
            GrowingBuffer numbers = t_numbers ??= new GrowingBuffer();
            var outliers = new List<Outlier>();
            for (int tile = from; tile < to; tile++)
            {
                outliers.Clear();
                if (!PackTile(Weight, tile * TileRows, Tiles.Tile(tile), numbers, outliers)) return;
                Tiles._outliers[tile] = [.. outliers];
            }
            Weight.DoneWith(from * TileRows, Math.Min(to * TileRows, Weight.Rows) - from * TileRows);
        }
    }

    /// <returns>False if the numbers do not allow it.</returns>
    private static bool PackTile(Weight weight, int row, byte* tile, GrowingBuffer numbers, List<Outlier> outliers)
    {
        int pairs = weight.Columns / 2;
        numbers.Reserve((nint)pairs * TileRows * sizeof(uint));
        var words = (ushort*)numbers.Pointer;
        int rows = Math.Min(TileRows, weight.Rows - row);
        if (!PairKernel.TakeBFloat16(weight.Window(row, rows), row, pairs, (uint*)words)) return false;
        ClearBeyond(words, pairs, rows);
        int lowest = Math.Max(0, Largest(words, pairs) - Codes);
        for (int code = 1; code <= Codes; code++)
            ((ushort*)tile)[code] = ((ushort*)tile)[code + 16] = (ushort)((lowest + code) << ExponentShift);
        ((ushort*)tile)[0] = ((ushort*)tile)[16] = 0;
        tile += TableBytes;
        int most = pairs * 2 * TileRows / NumbersAnOutlier;
        for (int p = 0; p < pairs && outliers.Count <= most; p++, words += 2 * TileRows, tile += PairBytes)
            if (PackPair(words, lowest, tile)) ListOutliers(words, lowest, 2 * p, outliers);
        return outliers.Count <= most;
    }

    /// <summary>Rows beyond the last are zeros.</summary>
    private static void ClearBeyond(ushort* words, int pairs, int rows)
    {
        if (rows == TileRows) return;
        for (int p = 0; p < pairs; p++) new Span<uint>((uint*)words + p * TileRows + rows, TileRows - rows).Clear();
    }

    /// <summary>The largest exponent.</summary>
    private static int Largest(ushort* words, int pairs)
    {
        Vector256<ushort> most = default;
        for (nint i = 0; i < (nint)pairs * 2 * TileRows; i += 16) most = Vector256.Max(most, Vector256.Load(words + i) & Vector256.Create((ushort)0x7FFF));
        int largest = 0;
        for (int i = 0; i < 16; i++) largest = Math.Max(largest, most[i]);
        return largest >> ExponentShift;
    }

    /// <summary>Writes 64 numbers.</summary>
    /// <returns>True if some of them have no code.</returns>
    private static bool PackPair(ushort* words, int lowest, byte* to)
    {
        Vector256<ushort> outliers = default;
        for (int half = 0; half < 2; half++)
        {
            Vector256<ushort> first = Code(words + half * 16, lowest, to + half * 16, ref outliers);
            Vector256<ushort> second = Code(words + 32 + half * 16, lowest, to + 32 + half * 16, ref outliers);
            Vector256<ushort> both = first | (second << 4);
            Vector128.Narrow(both.GetLower(), both.GetUpper()).Store(to + CodesAt + half * 16);
        }
        return outliers != Vector256<ushort>.Zero;
    }

    /// <summary>Codes of the exponents of 16 numbers; writes their signs and mantissas, of those without a code 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<ushort> Code(ushort* words, int lowest, byte* to, ref Vector256<ushort> outliers)
    {
        Vector256<ushort> word = Vector256.Load(words), size = word & Vector256.Create((ushort)0x7FFF), exponent = size >>> ExponentShift;
        Vector256<ushort> code = Vector256.Max(exponent, Vector256.Create((ushort)lowest)) - Vector256.Create((ushort)lowest);
        Vector256<ushort> none = Vector256.Equals(code, Vector256<ushort>.Zero);
        outliers |= none & size;
        Vector256<ushort> kept = Vector256.AndNot((word & Vector256.Create((ushort)0x7F)) | (word >>> 8 & Vector256.Create((ushort)0x80)), none);
        Vector128.Narrow(kept.GetLower(), kept.GetUpper()).Store(to);
        return code;
    }

    private static void ListOutliers(ushort* words, int lowest, int column, List<Outlier> outliers)
    {
        for (int i = 0; i < 2 * TileRows; i++)
        {
            int size = words[i] & 0x7FFF;
            if (size != 0 && size >> ExponentShift <= lowest) outliers.Add(new Outlier(column + i % 2, (byte)(i / 2), words[i]));
        }
    }

    /// <summary>Writes numbers of a tile as pairs of bfloat16.</summary>
    /// <param name="code">The generated code, if there is any.</param>
    /// <param name="tile">Its number.</param>
    /// <param name="first">The first pair of columns.</param>
    /// <param name="count">Pairs of columns, an even number.</param>
    /// <param name="weights">[pairs, 32 rows].</param>
    internal void Unpack(FloatPairs? code, int tile, int first, int count, uint* weights)
    {
        byte* from = Tile(tile) + TableBytes + (nint)first * PairBytes;
        if (code is null) Unpack(tile, from, count, weights);
        else
        {
            var arguments = new FloatPairs.Arguments { Table = Tile(tile), Columns = from, Pairs = weights, Count = count / FloatPairs.Together };
            code.Make(ref arguments);
        }
        foreach (Outlier outlier in OutliersOf(tile))
            if (outlier.Column / 2 - first is >= 0 and int pair && pair < count)
                ((ushort*)weights)[(pair * TileRows + outlier.Row) * 2 + outlier.Column % 2] = outlier.Bits;
    }

    private void Unpack(int tile, byte* from, int count, uint* weights)
    {
        var lowest = Vector256.Create((short)(*(ushort*)(Tile(tile) + sizeof(ushort)) - (1 << ExponentShift)));
        var to = (short*)weights;
        for (int p = 0; p < count; p++, from += PairBytes, to += 2 * TileRows)
            for (int half = 0; half < 2; half++)
            {
                Vector256<short> codes = Vector256.WidenLower(Vector128.Load(from + CodesAt + half * 16).ToVector256Unsafe()).AsInt16();
                Number(from + half * 16, codes & Vector256.Create((short)15), lowest).Store(to + half * 16);
                Number(from + 32 + half * 16, codes >>> 4, lowest).Store(to + 32 + half * 16);
            }
    }

    /// <summary>16 numbers of signs and mantissas, and codes of their exponents.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<short> Number(byte* kept, Vector256<short> codes, Vector256<short> lowest)
    {
        Vector256<short> exponent = Vector256.AndNot((codes << ExponentShift) + lowest, Vector256.Equals(codes, Vector256<short>.Zero));
        return Vector256.WidenLower(Vector128.Load((sbyte*)kept).ToVector256Unsafe()) & Vector256.Create(unchecked((short)0x807F)) | exponent;
    }
}
