using System.Runtime.Intrinsics;
using Nibble.Core.Formats;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;

namespace Nibble.Core.Kernels;

/// <summary>
/// Tables of partial products: of each place of a row (a code of a byte, which stands for 2, 4 or 8 columns) the products of all 256
/// entries that the code may name with these columns of the input. A product of a matrix then looks sums up and multiplies nothing.
/// </summary>
/// <remarks>
/// Everything is whole numbers, so that every processor makes the same tables. Entries, and the input over a block of places, are
/// divided by a unit that makes the greatest Euclidean norm of a vector <see cref="LargestNorm"/>: a product is below 2^30 then, and
/// its upper 16 bits, rounded, are the table's. Of a place the error is at most half a unit of the table's (2^-16 of the largest
/// product that the norms allow) for this rounding, and sqrt(dimension) / 2 for that of the entry and of the input each: 3.4 units.
/// Expected of n places are sqrt(n / 12) to sqrt(n / 4).
/// </remarks>
internal sealed unsafe class PartialProducts
{
    /// <summary>Entries of a codebook.</summary>
    public const int Entries = 256;

    /// <summary>Of a place: the lower bytes of all products, then the upper ones.</summary>
    public const int TableBytes = 2 * Entries;

    /// <summary>What is added to a product, in a table's units: tables hold no negative numbers.</summary>
    public const int Bias = 1 << 15;

    /// <summary>Bits that are rounded away, from a product of whole numbers to one of the table's.</summary>
    public const int Shift = 15;

    /// <summary>What the sum of products starts with: the bias, and half of what is rounded to.</summary>
    public const int Start = (Bias << Shift) + (1 << (Shift - 1));

    /// <summary>The most places whose inputs share a unit: their tables are 16 KiB, and their sums fit 16 bits with a sign.</summary>
    private const int MaxBlockPlaces = 32;

    /// <summary>Norms that rounding to whole numbers leaves below 2^15.</summary>
    private const double LargestNorm = 32760;

    private readonly NativeBuffer _numbers;
    private readonly int _codebooks;
    private readonly double _unit;

    public PartialProducts(VectorFormat format, int columns)
    {
        Dimension = format.Stride;
        _codebooks = format.Codebooks.Length;
        Stages = format.Stages;
        Vectors = columns / Dimension;
        _numbers = new NativeBuffer(_codebooks * Entries * Dimension * sizeof(short));
        double largest = 0;
        foreach (Codebook codebook in format.Codebooks)
            for (int e = 0; e < Entries; e++) largest = Math.Max(largest, Norm(codebook[e]));
        _unit = largest / LargestNorm;
        for (int c = 0; c < _codebooks; c++) Round(format.Codebooks[c], _unit, Numbers(c));
    }

    /// <summary>Codes of a vector.</summary>
    public int Stages { get; }

    /// <summary>Columns of a vector.</summary>
    public int Dimension { get; }

    private int Vectors { get; }
    public int Places => Vectors * Stages;
    public int Columns => Vectors * Dimension;

    /// <summary>Whole vectors.</summary>
    public int BlockPlaces => MaxBlockPlaces / Stages * Stages;

    public int Blocks => (Places + BlockPlaces - 1) / BlockPlaces;

    /// <summary>Places of a block; the last may have fewer.</summary>
    public int PlacesOf(int block) => Math.Min(BlockPlaces, Places - block * BlockPlaces);

    /// <summary>Makes the tables of blocks [from, to).</summary>
    /// <param name="x">[columns].</param>
    /// <param name="numbers">[columns], room for the input as whole numbers.</param>
    /// <param name="units">[blocks]: what sums of the tables' numbers must be multiplied by.</param>
    /// <param name="tables">[places, <see cref="TableBytes"/>].</param>
    /// <param name="code">For this dimension; null computes the same without.</param>
    public void Make(float* x, int from, int to, short* numbers, float* units, byte* tables, EntryProducts? code)
    {
        int blockColumns = BlockPlaces / Stages * Dimension;
        for (int b = from; b < to; b++)
            units[b] = Round(x + b * blockColumns, Math.Min(blockColumns, Columns - b * blockColumns), numbers + b * blockColumns);
        int firstPlace = from * BlockPlaces, endPlace = Math.Min(Places, to * BlockPlaces);
        // Codebooks take turns: all places of one after the other.
        for (int c = 0; c < _codebooks; c++)
        {
            int first = firstPlace + (c - firstPlace % _codebooks + _codebooks) % _codebooks;
            if (first >= endPlace) continue;
            var arguments = new EntryProducts.Arguments
            {
                Numbers = Numbers(c),
                X = numbers + first / Stages * Dimension,
                XStride = _codebooks / Stages * Dimension * sizeof(short),
                Table = tables + (nint)first * TableBytes,
                TableStride = _codebooks * TableBytes,
                Places = (endPlace - first + _codebooks - 1) / _codebooks,
            };
            if (code is not null) code.Make(ref arguments);
            else Make(arguments);
        }
    }

    /// <summary>What <see cref="EntryProducts"/> does.</summary>
    private void Make(EntryProducts.Arguments a)
    {
        for (; a.Places > 0; a.Places--)
        {
            for (int e = 0; e < Entries; e++)
            {
                int sum = Start;
                for (int j = 0; j < Dimension; j++) sum += a.Numbers[At(e, j)] * a.X[j];
                (a.Table[e], a.Table[Entries + e]) = ((byte)(sum >> Shift), (byte)(sum >> (Shift + 8)));
            }
            a.X = (short*)((byte*)a.X + a.XStride);
            a.Table += a.TableStride;
        }
    }

    private short* Numbers(int codebook) => (short*)_numbers.Pointer + codebook * Entries * Dimension;

    /// <summary>
    /// Where a number of an entry lies: 64 entries by 2 dimensions are four registers, in whose lanes entries are so that packing
    /// lanes to bytes, which processors do in parts of 128 bits, brings them into their order.
    /// </summary>
    private int At(int entry, int dimension) =>
        ((entry / 64 * (Dimension / 2) + dimension / 2) * 4 + entry / 4 % 4) * 32 + (entry / 16 % 4 * 4 + entry % 4) * 2 + dimension % 2;

    private void Round(Codebook codebook, double unit, short* numbers)
    {
        double inverse = unit > 0 ? 1 / unit : 0;
        for (int e = 0; e < Entries; e++)
            for (int j = 0; j < Dimension; j++) numbers[At(e, j)] = (short)Math.Round(codebook[e][j] * inverse);
    }

    /// <summary>Rounds the input of a block.</summary>
    /// <returns>What sums of its tables' numbers must be multiplied by.</returns>
    private float Round(float* x, int columns, short* numbers)
    {
        const double least = 1e-30;
        double largest = 0;
        for (int i = 0; i < columns; i += Dimension) largest = Math.Max(largest, Norm(new ReadOnlySpan<float>(x + i, Dimension)));
        float inverse = largest < least ? 0 : (float)(LargestNorm / largest);
        int at = 0;
        for (; at <= columns - 8; at += 8)
        {
            Vector256<int> whole = Vector256.ConvertToInt32(Vector256.Round(Vector256.Load(x + at) * inverse));
            Vector128.Narrow(whole.GetLower(), whole.GetUpper()).Store(numbers + at);
        }
        for (; at < columns; at++) numbers[at] = (short)MathF.Round(x[at] * inverse);
        return (float)(largest / LargestNorm * _unit * (1 << Shift));
    }

    private static double Norm(ReadOnlySpan<float> vector)
    {
        double sum = 0;
        foreach (float v in vector) sum += (double)v * v;
        return Math.Sqrt(sum);
    }
}
