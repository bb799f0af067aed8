using System.Runtime.Intrinsics;
using Nibble.Core.Formats;
using Nibble.Core.Kernels.Generated;

namespace Nibble.Core.Kernels;

/// <summary>
/// The numbers of 16 blocks under each other, as a run of a tile has them: the units of scales and offsets in half precision,
/// and of every chunk their multiples, a signed byte each or half a byte. All 16 rows are computed at once, from where the format says that
/// the bits lie (<see cref="Format.BlockParameters"/>): of each group a scale, and a minimum if it has them; then their units.
/// </summary>
internal sealed unsafe class UnitNumbers
{
    private const int Rows = PackedMatrix.TileRows;

    /// <summary>Bytes of a block that are read to have all multiples.</summary>
    private const int Window = 16;

    private readonly int _windowAt;
    private readonly bool _sharesBytes;
    private readonly int[] _unitsAt;
    private readonly Multiple[] _multiples;

    /// <summary>A multiple of a unit: where its bits lie in the window, what is stored for 0, and where it goes.</summary>
    private readonly record struct Multiple(Bits Low, Bits High, byte Zero, int Unit, int Target);

    /// <summary>Bits of a byte: moved down, or up if that is negative, and cut out.</summary>
    private readonly record struct Bits(int Byte, int Down, byte Mask);

    public UnitNumbers(Format format, PackedShape shape)
    {
        BlockParameter[] multiples = [.. format.BlockParameters.Where(p => !p.IsHalf)];
        _unitsAt = [.. format.BlockParameters.Where(p => p.IsHalf).Select(p => p.Low.Byte)];
        int[] bytes = [.. multiples.SelectMany(p => p.High.Bits > 0 ? new[] { p.Low.Byte, p.High.Byte } : [p.Low.Byte])];
        // A block may end its file.
        _windowAt = Math.Min(bytes.Min(), format.BlockBytes - Window);
        if (bytes.Max() >= _windowAt + Window) throw new NotSupportedException($"{format.Name} has its scales too far apart.");
        _sharesBytes = shape.SharesBytes;
        _multiples = [.. multiples.Select((p, i) => new Multiple(
            BitsOf(p.Low, to: 0), p.High.Bits == 0 ? default : BitsOf(p.High, to: p.Low.Bits), (byte)p.Zero, i % _unitsAt.Length, TargetOf(i, shape)))];
    }

    private Bits BitsOf(BlockParameter.BitPlace place, int to) => new(place.Byte - _windowAt, place.Shift - to, (byte)(place.Mask << to));

    private int TargetOf(int multiple, PackedShape shape)
    {
        (int group, int unit) = Math.DivRem(multiple, _unitsAt.Length);
        (int chunk, int part) = Math.DivRem(group, shape.Parts);
        return shape.UnitsBytes + chunk * shape.ChunkBytes + unit * shape.OffsetsAt + part * Rows;
    }

    /// <param name="blocks">16 blocks.</param>
    /// <param name="rows">How many of them are of the matrix; units of the others are 0.</param>
    /// <param name="run">The run of the tile.</param>
    public void Pack(byte** blocks, int rows, byte* run)
    {
        byte* columns = stackalloc byte[Window * Rows];
        var isUsable = stackalloc Vector128<byte>[2];
        ReadColumns(blocks, columns);
        for (int unit = 0; unit < _unitsAt.Length; unit++) isUsable[unit] = PackUnits(blocks, rows, unit, (ushort*)run + unit * Rows);
        foreach (ref readonly Multiple multiple in _multiples.AsSpan())
        {
            Vector128<byte> stored = Read(columns, multiple.Low) | Read(columns, multiple.High);
            Vector128<byte> number = (stored - Vector128.Create(multiple.Zero)) & isUsable[multiple.Unit];
            // The offset, which is above its scale, comes behind it.
            if (_sharesBytes && multiple.Unit == 1) number = (number.AsUInt16() << 4).AsByte() | Vector128.Load(run + multiple.Target);
            number.Store(run + multiple.Target);
        }
    }

    /// <summary>Bits that the shift brings in from the neighbouring byte are masked away.</summary>
    private static Vector128<byte> Read(byte* columns, Bits bits)
    {
        Vector128<ushort> bytes = Vector128.Load((ushort*)(columns + bits.Byte * Rows));
        return (bits.Down >= 0 ? bytes >>> bits.Down : bytes << -bits.Down).AsByte() & Vector128.Create(bits.Mask);
    }

    /// <summary>Each byte of the window, of all rows.</summary>
    /// <param name="blocks">16 blocks.</param>
    /// <param name="columns">[bytes of the window, 16 rows].</param>
    private void ReadColumns(byte** blocks, byte* columns)
    {
        byte* turned = stackalloc byte[Window * Rows];
        for (int r = 0; r < Rows; r += 4)
            Square.Turn(Load(blocks[r]), Load(blocks[r + 1]), Load(blocks[r + 2]), Load(blocks[r + 3]), turned + r * 4, 64);
        for (int i = 0; i < Window * Rows; i += 64)
            Square.Turn(Group(turned + i), Group(turned + i + 16), Group(turned + i + 32), Group(turned + i + 48), columns + i, Rows);

        Vector128<uint> Load(byte* block) => Vector128.Load((uint*)(block + _windowAt));

        // Of four rows the first bytes, then the second ones ...
        static Vector128<uint> Group(byte* four) =>
            Vector128.Shuffle(Vector128.Load(four), Vector128.Create((byte)0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)).AsUInt32();
    }

    /// <summary>Writes a unit of all rows; that of the offsets is minus what is stored.</summary>
    /// <returns>All bits of the rows whose unit is finite and not 0; the others have no multiples.</returns>
    private Vector128<byte> PackUnits(byte** blocks, int rows, int unit, ushort* target)
    {
        ushort sign = (ushort)(unit == 0 ? 0 : 0x8000);
        for (int r = 0; r < Rows; r++) target[r] = r < rows ? (ushort)(*(ushort*)(blocks[r] + _unitsAt[unit]) ^ sign) : (ushort)0;
        Vector256<ushort> size = Vector256.Load(target) & Vector256.Create((ushort)0x7FFF);
        var infinite = Vector256.Create((ushort)0x7C00);
        Vector256<ushort> isUsable = Vector256.LessThan(size, infinite) & ~Vector256.Equals(size, Vector256<ushort>.Zero);
        return Vector128.Narrow(isUsable.GetLower(), isUsable.GetUpper());
    }
}
