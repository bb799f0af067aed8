using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Core.Kernels;

/// <summary>
/// A weight whose 4-bit codes choose levels at any distances from tables that change from group to group, laid out for the
/// product with one token: for each row and 64 columns 32 bytes of codes, a scale, and the number of a table of levels. Four
/// rows lie side by side, which the kernel takes at once.
/// </summary>
/// <remarks>
/// Levels are rounded to whole numbers of 12 bits, the largest of a table being 2015, so a level is off by at most 1/4030 of
/// the largest: a sixteenth of what rounding the inputs to 8 bits costs. A number is two digits of 6 bits, 64 (h - 32) + (l - 32).
/// </remarks>
public sealed unsafe class LevelMatrix
{
    /// <summary>Columns that share a scale and a table.</summary>
    public const int Stretch = 64;

    /// <summary>Rows that lie side by side; the last are filled up with zeros.</summary>
    public const int TileRows = 4;

    /// <summary>Bytes of a table: the upper digit of each level, then the lower.</summary>
    public const int TableBytes = 32;

    /// <summary>What digits add to a number, and so to every level.</summary>
    public const int Bias = 64 * 32 + 32;

    private const int Levels = 16, LargestNumber = 2015, MostTables = 256;

    private readonly NativeBuffer _codes, _scales, _numbers, _tables;

    private LevelMatrix(Weight weight)
    {
        Rows = weight.Rows;
        Stretches = weight.Columns / Stretch;
        nint count = (nint)Tiles * Stretches * TileRows;
        _codes = new NativeBuffer(count * Stretch / 2);
        _scales = new NativeBuffer(count * sizeof(float));
        _numbers = new NativeBuffer(count);
        _tables = new NativeBuffer(MostTables * TableBytes, clear: false);
    }

    public int Rows { get; }
    public int Tiles => (Rows + TileRows - 1) / TileRows;

    /// <summary>Stretches of 64 columns in a row.</summary>
    public int Stretches { get; }

    /// <summary>[tiles, stretches, 4, 2, 16]: column j of 32 in the lower half of byte j, column j + 16 in its upper half.</summary>
    public byte* Codes => _codes.Pointer;

    /// <summary>[tiles, stretches, 4].</summary>
    public float* Scales => (float*)_scales.Pointer;

    /// <summary>[tiles, stretches, 4].</summary>
    public byte* Numbers => _numbers.Pointer;

    /// <summary>[256, 2, 16].</summary>
    public byte* Tables => _tables.Pointer;

    public static bool CanPack(Weight weight) => weight.Format.HasLevelTables && weight.Columns % Stretch == 0;

    public static LevelMatrix Pack(Weight weight, WorkerPool pool)
    {
        var matrix = new LevelMatrix(weight);
        var units = new float[MostTables];
        for (int t = 0; t < MostTables; t++) units[t] = WriteTable(weight.Format.LevelTable(t), matrix.Tables + t * TableBytes);
        var job = new PackJob { Matrix = matrix, Weight = weight, Units = units };
        pool.Run(ref job);
        return matrix;
    }

    /// <summary>Writes the digits of a table's levels.</summary>
    /// <returns>The level that the number 1 stands for.</returns>
    private static float WriteTable(ReadOnlySpan<float> levels, byte* table)
    {
        float largest = 0;
        foreach (float level in levels) largest = Math.Max(largest, Math.Abs(level));
        float unit = largest / LargestNumber;
        for (int i = 0; i < Levels; i++)
        {
            int number = Bias + (i < levels.Length && unit > 0 ? (int)Math.Round((double)levels[i] / unit) : 0);
            (table[i], table[Levels + i]) = ((byte)(number >> 6), (byte)(number & 63));
        }
        return unit;
    }

    private struct PackJob : IParallelJob
    {
        public LevelMatrix Matrix;
        public Weight Weight;
        public float[] Units;

        public readonly void Run(int worker, int workers)
        {
            (int from, int to) = ParallelRows.Share(Matrix.Rows, worker, workers);
            int stretches = Matrix.Stretches;
            // A block and a stretch may each hold several of the other.
            Format format = Weight.Format;
            var codes = new ushort[Weight.Columns];
            for (int r = from; r < to; r++)
            {
                ReadOnlySpan<byte> row = Weight.Row(r);
                for (int i = 0, b = 0; i < codes.Length; i += format.BlockSize, b += format.BlockBytes)
                    format.ReadCodes(row.Slice(b, format.BlockBytes), codes.AsSpan(i, format.BlockSize));
                for (int s = 0; s < stretches; s++)
                {
                    int column = s * Stretch, block = column / format.BlockSize;
                    (float scale, int table) = format.LevelsAt(row.Slice(block * format.BlockBytes, format.BlockBytes), column % format.BlockSize);
                    nint at = ((nint)(r / TileRows) * stretches + s) * TileRows + r % TileRows;
                    Matrix.Scales[at] = scale * Units[table];
                    Matrix.Numbers[at] = (byte)table;
                    for (int j = 0; j < Stretch / 2; j++)
                    {
                        int low = column + (j & 16) * 2 + (j & 15);
                        Matrix.Codes[at * (Stretch / 2) + j] = (byte)(codes[low] | (codes[low + 16] << 4));
                    }
                }
            }
        }
    }
}
