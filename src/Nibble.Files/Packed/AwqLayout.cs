namespace Nibble.Files.Packed;

/// <summary>
/// AWQ as AutoAWQ writes it for its GEMM kernel, 4 bits: qweight, I32 [in, out / 8], whose word holds eight outputs in the
/// order 0, 2, 4, 6, 1, 3, 5, 7 from its lowest bits on; qzeros, I32 [groups, out / 8], likewise; scales [groups, out].
/// </summary>
internal sealed class AwqLayout : ForeignLayout
{
    /// <summary>Where output i of eight lies in its word: bits 4 Place to 4 Place + 3.</summary>
    internal static ReadOnlySpan<byte> Place => [0, 4, 1, 5, 2, 6, 3, 7];

    public override IReadOnlyList<string> Methods => ["awq"];

    public override void Find(ForeignParts parts, QuantizationConfig config)
    {
        if ((config.Text("version") ?? "gemm").ToUpperInvariant() is not "GEMM")
            throw config.Error("version", $"is {Quote.Name(config.Text("version")!)}; only gemm is known");
        if ((config.Number("bits") ?? config.Number("w_bit") ?? 4) is not 4 and var bits) throw config.Error("bits", $"is {bits}; only 4 is known");
        foreach (string module in parts.Before(".qweight"))
            parts.Add(Tensor.Of(module, parts, config.Number("group_size") ?? config.Number("q_group_size")));
    }

    private sealed class Tensor : ForeignLinear
    {
        private readonly ForeignPart _codes;
        private readonly ForeignPart? _zeros;

        private Tensor(string name, in ForeignGrid grid, ForeignPart codes, ForeignPart? zeros, ForeignPart scales, bool symmetric)
            : base(name, grid, symmetric, scales) => (_codes, _zeros) = (codes, symmetric ? null : zeros);

        public static Tensor Of(string module, ForeignParts parts, int? groupSize)
        {
            ForeignPart codes = parts.Take($"{module}.qweight").Expect("I32", null, null);
            long columns = codes.Info.Shape[0], words = codes.Info.Shape[1];
            ForeignPart scales = parts.Take($"{module}.scales").Expect("F16 BF16 F32", null, words * 8);
            long groups = scales.Info.Shape[0];
            ForeignPart? zeros = parts.TakeIf($"{module}.qzeros")?.Expect("I32", groups, words);
            var grid = new ForeignGrid(checked((int)(words * 8)), checked((int)columns), 4, ForeignGroups.Size(scales, groups, columns, groupSize));
            return new Tensor($"{module}.weight", grid, codes, zeros, scales, zeros is null || IsSymmetric(zeros));
        }

        private static bool IsSymmetric(ForeignPart zeros)
        {
            for (int g = 0; g < zeros.Info.Shape[0]; g++)
                if (zeros.Row(g).ContainsAnyExcept((byte)0x88)) return false;
            return true;
        }

        protected override void ReadCodes(int firstRow, int rows, Span<byte> codes)
        {
            for (int i = 0; i < Grid.Columns; i++)
            {
                ReadOnlySpan<uint> words = _codes.Row<uint>(i);
                for (int r = 0; r < rows; r++) codes[r * Grid.Columns + i] = Code(words, firstRow + r);
            }
        }

        protected override void ReadParameters(int row, Span<float> scales, Span<float> zeros)
        {
            for (int g = 0; g < scales.Length; g++)
            {
                scales[g] = Scales.Number(g, row);
                if (_zeros is not null) zeros[g] = Code(_zeros.Row<uint>(g), row);
            }
        }

        private static byte Code(ReadOnlySpan<uint> words, int output) => (byte)(words[output / 8] >> (4 * Place[output % 8]) & 15);
    }
}
