using System.Buffers;
using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Memory;
using static System.FormattableString;

namespace Nibble.Files.Packed;

/// <summary>
/// Integer codes under scales and zero points for groups of a row, weight = scale * (code - zero point), as most programs
/// have them in one layout or another: the linear formats hold the same numbers.
/// </summary>
internal abstract class ForeignLinear : ForeignTensor
{
    private readonly LinearFormat _format;
    private readonly int _storedGroup;

    /// <param name="name">Of the weight.</param>
    /// <param name="grid">Its size, and how its weights share parameters.</param>
    /// <param name="symmetric">All zero points are in the middle, 2^(bits - 1).</param>
    /// <param name="scales">The stored scales, for their type.</param>
    /// <param name="order">The columns in an order in which groups are contiguous; null where they are.</param>
    protected ForeignLinear(string name, in ForeignGrid grid, bool symmetric, ForeignPart scales, int[]? order = null)
        : base(Describe(name, grid, symmetric, scales) with { HasColumnOrder = order is not null })
    {
        Grid = grid;
        ColumnOrder = order;
        _storedGroup = grid.Group;
        _format = (LinearFormat)Info.Format!;
        Scales = scales;
    }

    public sealed override int[]? ColumnOrder { get; }

    protected ForeignGrid Grid { get; }

    protected ForeignPart Scales { get; }

    /// <summary>Reads codes, one a byte: [rows, columns], the columns as they are stored.</summary>
    protected abstract void ReadCodes(int firstRow, int rows, Span<byte> codes);

    /// <summary>Reads the scales and zero points of a row's stored groups; zero points only where they are not all in the middle.</summary>
    protected abstract void ReadParameters(int row, Span<float> scales, Span<float> zeros);

    protected sealed override void Translate(int firstRow, Weight target)
    {
        int columns = Grid.Columns;
        byte[] codes = ArrayPool<byte>.Shared.Rent(target.Rows * columns), ordered = ArrayPool<byte>.Shared.Rent(columns);
        float[] scales = new float[Grid.Groups], zeros = new float[Grid.Groups];
        ReadCodes(firstRow, target.Rows, codes.AsSpan(0, target.Rows * columns));
        for (int r = 0; r < target.Rows; r++)
        {
            Span<byte> row = codes.AsSpan(r * columns, columns);
            if (ColumnOrder is { } order)
            {
                for (int i = 0; i < columns; i++) ordered[i] = row[order[i]];
                row = ordered.AsSpan(0, columns);
            }
            ReadParameters(firstRow + r, scales, zeros);
            Refuse(scales);
            Write(row, scales, zeros, target.Row(r));
        }
        ArrayPool<byte>.Shared.Return(codes);
        ArrayPool<byte>.Shared.Return(ordered);
    }

    private void Write(ReadOnlySpan<byte> codes, ReadOnlySpan<float> scales, ReadOnlySpan<float> zeros, Span<byte> row)
    {
        int size = _format.BlockSize, bytes = _format.BlockBytes, codeBytes = BitPacking.Bytes(size, _format.Bits);
        for (int at = 0; at < codes.Length; at += size, row = row[bytes..])
        {
            int group = at / _storedGroup;
            _format.WriteParameters(row, scales.Slice(group, 1), zeros.Slice(group, 1));
            BitPacking.Pack(codes.Slice(at, size), _format.Bits, row.Slice(bytes - codeBytes, codeBytes));
        }
    }

    private void Refuse(ReadOnlySpan<float> scales)
    {
        foreach (float scale in scales)
            if (!float.IsFinite(scale)) throw Scales.Wrong(Invariant($"holds {scale}; the checkpoint is damaged"));
    }

    private static TensorInfo Describe(string name, in ForeignGrid grid, bool symmetric, ForeignPart scales)
    {
        ScaleType type = scales.Info.Type switch
        {
            "F16" => ScaleType.F16,
            "BF16" => ScaleType.BF16,
            "F32" => ScaleType.F32,
            var other => throw scales.Wrong($"is of type {other}; scales are F16, BF16 or F32"),
        };
        var format = new LinearFormat(grid.Bits, symmetric ? LinearKind.Symmetric : LinearKind.ZeroPoint, grid.Granularity(scales), type);
        return TensorInfo.Of(name, format.ForColumns(grid.Columns), [grid.Rows, grid.Columns]);
    }
}

/// <summary>The size of a packed matrix, and how many columns share parameters.</summary>
/// <param name="Group">Columns a group; the last of a row may have fewer.</param>
internal readonly record struct ForeignGrid(int Rows, int Columns, int Bits, int Group)
{
    public int Groups => (Columns + Group - 1) / Group;

    /// <summary>Groups of ours: the stored ones, or even parts of them where they do not divide the row.</summary>
    public Granularity Granularity(ForeignPart scales)
    {
        if (Group >= Columns) return Core.Formats.Granularity.Row;
        int size = (int)System.Numerics.BigInteger.GreatestCommonDivisor(Columns, Group);
        return size >= 2 ? Core.Formats.Granularity.Group(size)
            : throw scales.Wrong($"is for groups of {Group} of {Columns} columns, which have no common divisor; such groups are not computed");
    }
}
