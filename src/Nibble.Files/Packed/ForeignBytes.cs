namespace Nibble.Files.Packed;

/// <summary>
/// Signed bytes [out, in] under scales, one for the tensor, a row or a group of it, and perhaps zero points (signed bytes of
/// the scales' shape). The linear format's codes are the same bytes from -128 up.
/// </summary>
internal sealed class ForeignBytes(string name, in ForeignGrid grid, ForeignPart codes, ForeignPart scales, ForeignPart? zeros, float divisor = 1)
    : ForeignLinear(name, grid, symmetric: zeros is null, scales)
{
    /// <param name="divisor">What the scales are divided by.</param>
    public static ForeignBytes Of(string name, ForeignPart codes, ForeignPart scales, ForeignPart? zeros, int? groupSize, float divisor = 1)
    {
        (long rows, long columns) = (codes.Expect("I8", null, null).Info.Shape[0], codes.Info.Shape[1]);
        var grid = new ForeignGrid(checked((int)rows), checked((int)columns), 8, ForeignScales.Group(scales, rows, columns, groupSize));
        return new ForeignBytes(name, grid, codes, scales, zeros?.Expect("I8", [.. scales.Info.Shape.Select(n => (long?)n)]), divisor);
    }

    protected override void ReadCodes(int firstRow, int rows, Span<byte> bytes)
    {
        for (int r = 0; r < rows; r++)
        {
            ReadOnlySpan<byte> from = codes.Row(firstRow + r);
            Span<byte> to = bytes.Slice(r * Grid.Columns, Grid.Columns);
            for (int i = 0; i < to.Length; i++) to[i] = (byte)(from[i] ^ 0x80);
        }
    }

    protected override void ReadParameters(int row, Span<float> scales, Span<float> zeroPoints)
    {
        ForeignScales.Read(Scales, row, scales);
        if (divisor != 1)
            for (int g = 0; g < scales.Length; g++) scales[g] /= divisor;
        if (zeros is null) return;
        ReadOnlySpan<sbyte> points = zeros.Row<sbyte>(ForeignScales.RowOf(zeros, row));
        for (int g = 0; g < zeroPoints.Length; g++) zeroPoints[g] = points[g] + 128;
    }
}

/// <summary>Scales of a matrix whose outputs are rows: one in all, one a row, or [rows, groups].</summary>
internal static class ForeignScales
{
    /// <summary>Columns that share a scale.</summary>
    public static int Group(ForeignPart scales, long rows, long columns, int? configured)
    {
        if (scales.Info.Format?.BlockSize != 1) throw scales.Wrong($"is of type {scales.Info.Type}; scales are floats");
        if (scales.Info.Elements == 1) return checked((int)columns);
        if (scales.Info.Shape.Count is not (1 or 2) || scales.Info.Shape[0] != rows)
            throw scales.Wrong($"is [{string.Join(", ", scales.Info.Shape)}], but must be one number, or one for each of {rows} rows, or a row of them for each");
        long groups = scales.Info.Shape.Count == 1 ? 1 : scales.Info.Shape[1];
        return groups == 1 ? checked((int)columns) : ForeignGroups.Size(scales, groups, columns, configured);
    }

    /// <summary>The scales of a row's groups.</summary>
    public static void Read(ForeignPart scales, int row, Span<float> numbers)
    {
        for (int g = 0; g < numbers.Length; g++) numbers[g] = Number(scales, row, g);
    }

    /// <summary>The row of a part where the parameters of a row lie: the only one, where all rows share them.</summary>
    public static int RowOf(ForeignPart part, int row) => part.Info.Elements == 1 || part.Info.Shape.Count == 1 ? 0 : row;

    private static float Number(ForeignPart scales, int row, int group) =>
        scales.Info.Elements == 1 ? scales.Number(0, 0) : scales.Info.Shape.Count == 1 ? scales.Number(0, row) : scales.Number(row, group);
}
