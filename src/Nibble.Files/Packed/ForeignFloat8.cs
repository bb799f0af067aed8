using System.Buffers.Binary;
using Nibble.Core.Formats;
using Nibble.Core.Memory;
using static System.FormattableString;

namespace Nibble.Files.Packed;

/// <summary>
/// 8-bit floats [out, in] under F32 scales that multiply them: one in all, one a row, or one for each block of rows and
/// columns. Ours are scales for groups of a row, so those of a block are repeated in each of its rows.
/// </summary>
internal sealed class ForeignFloat8 : ForeignTensor
{
    private readonly ForeignPart _codes, _scales;
    private readonly int _blockRows, _blockColumns;
    private readonly byte _notNumber;

    private ForeignFloat8(string name, Format format, ForeignPart codes, ForeignPart scales, int blockRows, int blockColumns)
        : base(TensorInfo.Of(name, format, codes.Info.Shape))
    {
        (_codes, _scales, _blockRows, _blockColumns) = (codes, scales, blockRows, blockColumns);
        // Magnitudes from here on are infinite or no number.
        _notNumber = (byte)(codes.Info.Type == "F8_E4M3" ? 0x7F : 0x7C);
    }

    /// <param name="block">Rows and columns of a block, where the scales are for such.</param>
    public static ForeignFloat8 Of(string name, ForeignPart codes, ForeignPart scales, IReadOnlyList<int>? block)
    {
        codes.Expect("F8_E4M3 F8_E5M2", null, null);
        (int rows, int columns) = (checked((int)codes.Info.Shape[0]), checked((int)codes.Info.Shape[1]));
        if (scales.Info.Format?.BlockSize != 1) throw scales.Wrong($"is of type {scales.Info.Type}; scales are floats");
        (int blockRows, int blockColumns) = scales.Info.Shape switch
        {
            _ when scales.Info.Elements == 1 => (rows, columns),
            [var r] when r == rows => (1, columns),
            [var r, 1] when r == rows => (1, columns),
            [var r, var c] when block is [> 0 and var height, > 0 and var width] && r == ((long)rows + height - 1) / height && c == ((long)columns + width - 1) / width => (height, width),
            var shape => throw scales.Wrong(
                $"is [{string.Join(", ", shape)}], but must be one number, or one for each of {rows} rows, or one for each block of weight_block_size of [{rows}, {columns}]"),
        };
        Granularity granularity = new ForeignGrid(rows, columns, 8, blockColumns).Granularity(scales);
        return new ForeignFloat8(name, Format.Parse($"{codes.Info.Type}-{granularity}-f32").ForColumns(columns), codes, scales, blockRows, blockColumns);
    }

    protected override void Translate(int firstRow, Weight target)
    {
        int size = target.Format.BlockSize;
        for (int r = 0; r < target.Rows; r++)
        {
            ReadOnlySpan<byte> codes = _codes.Row(firstRow + r);
            Span<byte> row = target.Row(r);
            Refuse(codes);
            for (int at = 0; at < codes.Length; at += size, row = row[(4 + size)..])
            {
                BinaryPrimitives.WriteSingleLittleEndian(row, Scale(firstRow + r, at));
                codes.Slice(at, size).CopyTo(row[4..]);
            }
        }
    }

    private float Scale(int row, int column)
    {
        float scale = _scales.Info.Elements == 1 ? _scales.Number(0, 0) : _scales.Info.Shape.Count == 1 ? _scales.Number(0, row)
            : _scales.Number(row / _blockRows, column / _blockColumns);
        return float.IsFinite(scale) ? scale : throw _scales.Wrong(Invariant($"holds {scale}; the checkpoint is damaged"));
    }

    private void Refuse(ReadOnlySpan<byte> codes)
    {
        foreach (byte code in codes)
            if ((code & 0x7F) >= _notNumber) throw _codes.Wrong($"holds the byte 0x{code:X2}, which is no finite number; the checkpoint is damaged");
    }
}
