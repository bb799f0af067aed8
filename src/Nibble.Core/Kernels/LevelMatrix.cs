using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Core.Kernels;

/// <summary>
/// A weight whose codes choose levels at any distances from tables that change from group to group, laid out for the product
/// with one token: for each row and 64 columns the codes, a scale, and the number of a table of levels. Four rows lie side by
/// side, which the kernel takes at once.
/// </summary>
/// <seealso cref="LevelDigits"/>
public sealed unsafe class LevelMatrix
{
    /// <summary>Columns that share a scale and a table.</summary>
    public const int Stretch = 64;

    /// <summary>Rows that lie side by side; the last are filled up with zeros.</summary>
    public const int TileRows = 4;

    private readonly NativeBuffer _codes, _scales, _numbers;
    private NativeBuffer? _tables;

    private LevelMatrix(Weight weight)
    {
        Rows = weight.Rows;
        Stretches = weight.Columns / Stretch;
        LevelBits = int.Log2(weight.Format.CodeCount);
        nint count = (nint)Tiles * Stretches;
        _codes = new NativeBuffer(count * TileBytes);
        _scales = new NativeBuffer(count * TileRows * sizeof(float));
        _numbers = new NativeBuffer(count * TileRows);
    }

    public int Rows { get; }
    public int Tiles => (Rows + TileRows - 1) / TileRows;

    /// <summary>Stretches of 64 columns in a row.</summary>
    public int Stretches { get; }

    /// <summary>Bits of the format's codes.</summary>
    public int LevelBits { get; }

    /// <summary>True if a code is half a byte, else it is a sign and a magnitude in a byte.</summary>
    public bool IsSmall => LevelBits <= LevelDigits.SmallBits;

    /// <summary>Bytes of the codes of four rows in a stretch.</summary>
    public int TileBytes => TileRows * Stretch / (IsSmall ? 2 : 1);

    internal LevelDigits Digits => new(IsSmall);

    /// <summary>
    /// [tiles, stretches, 2, 64] where codes are small, the first row of two in the lower half of a byte, the second in its upper;
    /// else [tiles, stretches, 4, 64]. Columns are in the order of <see cref="Place"/>.
    /// </summary>
    public byte* Codes => _codes.Pointer;

    /// <summary>[tiles, stretches, 4].</summary>
    public float* Scales => (float*)_scales.Pointer;

    /// <summary>[tiles, stretches, 4].</summary>
    public byte* Numbers => _numbers.Pointer;

    /// <summary>[tables, 2, <see cref="LevelDigits.DigitBytes"/>].</summary>
    public byte* Tables => _tables!.Pointer;

    /// <summary>Where a stretch has its column: 16 of the first 32 columns and 16 of the others take turns, so that lanes of 128 bits know whose scale is theirs.</summary>
    public static int Place(int column) => (column & 15) | (column & 32) >> 1 | (column & 16) << 1;

    public static bool CanPack(Weight weight) => weight.Format.LevelTables > 0 && weight.Columns % Stretch == 0;

    public static LevelMatrix Pack(Weight weight, WorkerPool pool)
    {
        var matrix = new LevelMatrix(weight);
        var units = new float[weight.Format.LevelTables];
        for (int t = 0; t < units.Length; t++) units[t] = matrix.Digits.UnitOf(weight.Format.LevelTable(t));
        var job = new PackJob { Matrix = matrix, Weight = weight, Units = units };
        pool.Run(ref job);
        matrix.MakeTables(weight.Format);
        return matrix;
    }

    /// <summary>Numbers the tables that occur, and writes them.</summary>
    private void MakeTables(Format format)
    {
        var used = new List<int>();
        var placeOf = new byte[format.LevelTables];
        var numbers = new Span<byte>(Numbers, checked(Tiles * Stretches * TileRows));
        for (int t = 0; t < placeOf.Length; t++)
        {
            if (!numbers.Contains((byte)t)) continue;
            placeOf[t] = (byte)used.Count;
            used.Add(t);
        }
        foreach (ref byte number in numbers) number = placeOf[number];
        _tables = new NativeBuffer(used.Count * Digits.TableBytes);
        for (int i = 0; i < used.Count; i++) Digits.Write(format.LevelTable(used[i]), Tables + i * Digits.TableBytes);
    }

    private struct PackJob : IParallelJob
    {
        public LevelMatrix Matrix;
        public Weight Weight;
        public float[] Units;

        public readonly void Run(int worker, int workers)
        {
            (int from, int to) = ParallelRows.Share(Matrix.Tiles, worker, workers);
            // A block and a stretch may each hold several of the other.
            Format format = Weight.Format;
            var codes = new ushort[Weight.Columns];
            foreach ((int first, int end, Weight rows) in Weight.Stretches(from * TileRows, to * TileRows, TileRows))
                for (int r = first; r < end; r++) Put(rows.Row(r), format, codes, r);
        }

        /// <summary>Writes a stored row.</summary>
        private readonly void Put(ReadOnlySpan<byte> row, Format format, ushort[] codes, int r)
        {
            for (int i = 0, b = 0; i < codes.Length; i += format.BlockSize, b += format.BlockBytes)
                format.ReadCodes(row.Slice(b, format.BlockBytes), codes.AsSpan(i, format.BlockSize));
            for (int s = 0; s < Matrix.Stretches; s++)
            {
                int column = s * Stretch, block = column / format.BlockSize;
                (float scale, int table) = format.LevelsAt(row.Slice(block * format.BlockBytes, format.BlockBytes), column % format.BlockSize);
                nint tile = (nint)(r / TileRows) * Matrix.Stretches + s, at = tile * TileRows + r % TileRows;
                Matrix.Scales[at] = scale * Units[table];
                Matrix.Numbers[at] = (byte)table;
                Matrix.PutCodes(codes.AsSpan(column, Stretch), Matrix.Codes + tile * Matrix.TileBytes, r % TileRows);
            }
        }
    }

    private void PutCodes(ReadOnlySpan<ushort> codes, byte* tile, int row)
    {
        byte* to = tile + (IsSmall ? row / 2 : row) * Stretch;
        int sign = LevelBits - 1, magnitude = (1 << sign) - 1;
        for (int j = 0; j < Stretch; j++)
            if (IsSmall) to[Place(j)] |= (byte)(codes[j] << (row % 2 * 4));
            else to[Place(j)] = (byte)((codes[j] >> sign << 7) | (codes[j] & magnitude));
    }
}
