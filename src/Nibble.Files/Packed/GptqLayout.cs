using System.Runtime.InteropServices;
using Nibble.Core.Formats;

namespace Nibble.Files.Packed;

/// <summary>
/// GPTQ as AutoGPTQ and GPTQModel write it, at 2, 3, 4 and 8 bits: qweight, I32 [in * bits / 32, out], a dense run of codes
/// down each column; qzeros, I32 [groups, out * bits / 32], dense along the row, less one in version 1; scales
/// [groups, out]; g_idx, I32 [in], each column's group.
/// </summary>
internal sealed class GptqLayout : ForeignLayout
{
    public override IReadOnlyList<string> Methods => ["gptq"];

    public override void Find(ForeignParts parts, QuantizationConfig config)
    {
        string key = config.Text("checkpoint_format") is null ? "format" : "checkpoint_format";
        bool lessOne = (config.Text(key) ?? "gptq") switch
        {
            "gptq" => true,
            "gptq_v2" => false,
            var other => throw config.Error(key, $"is {Quote.Name(other)}; known are gptq and gptq_v2"),
        };
        // With rules for single modules ("dynamic"), their tensors say what each is.
        int? bits = config.Says("dynamic") ? null : config.Number("bits");
        foreach (string module in parts.Before(".qweight"))
        {
            Tensor tensor = Tensor.Of(module, parts, config.Number("group_size"), lessOne);
            if (bits is { } said && said != tensor.Bits) throw config.Error("bits", $"is {said}, but {Quote.Name(module)} is packed at {tensor.Bits}");
            parts.Add(tensor);
        }
    }

    private sealed class Tensor : ForeignLinear
    {
        private readonly ForeignPart _codes, _zeros;
        private readonly int _lessOne;
        private readonly bool _symmetric;

        private Tensor(string name, in ForeignGrid grid, ForeignPart codes, ForeignPart zeros, ForeignPart scales, bool lessOne, bool symmetric, int[]? order)
            : base(name, grid, symmetric, scales, order) => (_codes, _zeros, _lessOne, _symmetric) = (codes, zeros, lessOne ? 1 : 0, symmetric);

        public int Bits => Grid.Bits;

        public static Tensor Of(string module, ForeignParts parts, int? groupSize, bool lessOne)
        {
            ForeignPart codes = parts.Take($"{module}.qweight").Expect("I32", null, null);
            ForeignPart scales = parts.Take($"{module}.scales").Expect("F16 BF16 F32", null, codes.Info.Shape[1]);
            long groups = scales.Info.Shape[0], outputs = scales.Info.Shape[1];
            ForeignPart zeros = parts.Take($"{module}.qzeros").Expect("I32", groups, null);
            long bits = zeros.Info.Shape[1] * 32 / outputs;
            if (bits is not (2 or 3 or 4 or 8) || zeros.Info.Shape[1] * 32 != bits * outputs)
                throw zeros.Wrong($"has {zeros.Info.Shape[1]} words for {outputs} outputs; 2, 3, 4 and 8 bits are known");
            long columns = codes.Info.Shape[0] * 32 / bits;
            if (columns * bits != codes.Info.Shape[0] * 32) throw codes.Wrong($"has {codes.Info.Shape[0]} words a column, which is no number of {bits}-bit codes");
            int size = ForeignGroups.Size(scales, groups, columns, groupSize);
            var grid = new ForeignGrid(checked((int)outputs), checked((int)columns), (int)bits, size);
            int[]? order = parts.TakeIf($"{module}.g_idx") is { } index ? ForeignColumns.Order(index.Expect("I32", columns), grid) : null;
            return new Tensor($"{module}.weight", grid, codes, zeros, scales, lessOne, IsSymmetric(zeros, grid, lessOne), order);
        }

        /// <summary>True if all zero points are in the middle: one word (or three) over and over.</summary>
        private static bool IsSymmetric(ForeignPart zeros, in ForeignGrid grid, bool lessOne)
        {
            var middle = new byte[grid.Rows];
            middle.AsSpan().Fill((byte)((1 << (grid.Bits - 1)) - (lessOne ? 1 : 0)));
            var row = new byte[BitPacking.Bytes(grid.Rows, grid.Bits)];
            BitPacking.Pack(middle, grid.Bits, row);
            for (int g = 0; g < grid.Groups; g++)
                if (!zeros.Row(g).SequenceEqual(row)) return false;
            return true;
        }

        protected override void ReadCodes(int firstRow, int rows, Span<byte> codes)
        {
            int words = (int)_codes.Info.Shape[0];
            // The words of each output in a run of their own: a dense run of codes.
            var runs = new uint[rows * words];
            for (int w = 0; w < words; w++)
            {
                ReadOnlySpan<uint> from = _codes.Row<uint>(w).Slice(firstRow, rows);
                for (int r = 0; r < rows; r++) runs[r * words + w] = from[r];
            }
            for (int r = 0; r < rows; r++)
                BitPacking.Unpack(MemoryMarshal.AsBytes(runs.AsSpan(r * words, words)), Grid.Bits, codes.Slice(r * Grid.Columns, Grid.Columns));
        }

        protected override void ReadParameters(int row, Span<float> scales, Span<float> zeros)
        {
            for (int g = 0; g < scales.Length; g++)
            {
                scales[g] = Scales.Number(g, row);
                // A zero point of 0 less one is all ones, and comes back to 0.
                if (!_symmetric) zeros[g] = (BitPacking.Read(_zeros.Row(g), row, Grid.Bits) + _lessOne) & ((1 << Grid.Bits) - 1);
            }
        }
    }
}

/// <summary>How many columns share a scale.</summary>
internal static class ForeignGroups
{
    /// <summary>The size of a group, a row at most: the row divided by the groups, or what config.json says where they do not divide it.</summary>
    public static int Size(ForeignPart scales, long groups, long columns, int? configured)
    {
        if (configured is > 0 and { } size && (columns + size - 1) / size == groups) return (int)Math.Min(size, columns);
        return columns % groups == 0 ? (int)(columns / groups) : throw scales.Wrong($"has {groups} groups for {columns} columns, which they do not divide");
    }
}
