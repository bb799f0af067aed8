using System.Buffers.Binary;
using Nibble.Core.Formats;

namespace Nibble.Files.Packed;

/// <summary>
/// compressed-tensors, as llm-compressor and vLLM write it. pack-quantized: weight_packed, I32 [out, words], codes along the
/// row from the lowest bits on, more by 2^(bits - 1) than the signed numbers they are; weight_scale [out, groups];
/// weight_zero_point, packed alike down the columns; weight_shape; weight_g_idx. int-quantized: weight, I8, with
/// weight_scale. float-quantized: weight, F8_E4M3, with weight_scale.
/// </summary>
internal sealed class CompressedTensorsLayout : ForeignLayout
{
    public override IReadOnlyList<string> Methods => ["compressed-tensors"];

    public override void Find(ForeignParts parts, QuantizationConfig config)
    {
        Refuse(config);
        QuantizationConfig[] groups = [.. config.Sections("config_groups")], weights = [.. groups.Select(g => g.Section("weights")).OfType<QuantizationConfig>()];
        int[] bits = [.. weights.Select(w => w.Number("num_bits")).OfType<int>().Distinct()];
        int? size = weights.Select(w => w.Number("group_size")).Distinct().ToArray() is [var only] ? only : null;
        int[]? block = weights.Select(w => w.Numbers("block_structure")).OfType<int[]>().FirstOrDefault();
        foreach (string module in parts.Before(".weight_packed")) parts.Add(PackedTensor.Of(module, parts, bits, size));
        foreach (string module in parts.Before(".weight_scale"))
        {
            string? type = parts.TypeOf($"{module}.weight");
            if (type is null) continue;
            ForeignPart codes = parts.Take($"{module}.weight"), scales = parts.Take($"{module}.weight_scale");
            parts.Add(type == "I8" ? ForeignBytes.Of(codes.Info.Name, codes, scales, parts.TakeIf($"{module}.weight_zero_point"), size)
                : ForeignFloat8.Of(codes.Info.Name, codes, scales, block));
        }
        if (groups.Any(g => g.Section("input_activations") is not null))
            parts.Notices.Add(config.Error("config_groups", "rounds the inputs of products too (input_activations); here only the weights are as it says").Message);
        parts.LeaveOut("scale inputs, or cached keys and values, to few bits; here these are not rounded so, and the tensors are left out",
            ".input_scale", ".input_zero_point", ".input_global_scale", ".output_scale", ".output_zero_point", ".k_scale", ".v_scale", ".q_scale");
    }

    private static void Refuse(QuantizationConfig config)
    {
        if (config.Says("transform_config")) throw config.Error("transform_config", "rotates weights and inputs; such models are not computed");
        if (config.Section("sparsity_config")?.Text("format") is { } sparse and not "dense")
            throw config.Error("sparsity_config.format", $"is {Quote.Name(sparse)}; only dense is known");
    }

    private sealed class PackedTensor : ForeignLinear
    {
        private readonly ForeignPart _codes;
        private readonly ForeignPart? _zeros;
        private readonly WordPacking _packing;

        private PackedTensor(string name, in ForeignGrid grid, in WordPacking packing, ForeignPart codes, ForeignPart scales, ForeignPart? zeros, int[]? order)
            : base(name, grid, zeros is null, scales, order) => (_packing, _codes, _zeros) = (packing, codes, zeros);

        public static PackedTensor Of(string module, ForeignParts parts, int[] bits, int? groupSize)
        {
            ForeignPart codes = parts.Take($"{module}.weight_packed").Expect("I32", null, null);
            ForeignPart scales = parts.Take($"{module}.weight_scale");
            (long rows, long columns) = Shape(parts.Take($"{module}.weight_shape"));
            if (codes.Info.Shape[0] != rows) throw codes.Wrong($"has {codes.Info.Shape[0]} rows, but weight_shape says {rows}");
            WordPacking packing = WordPacking.Of(codes, columns, bits);
            var grid = new ForeignGrid(checked((int)rows), checked((int)columns), packing.Bits, ForeignScales.Group(scales, rows, columns, groupSize));
            long? parameters = scales.Info.Elements == 1 ? null : packing.Words(rows);
            ForeignPart? zeros = parts.TakeIf($"{module}.weight_zero_point");
            if (zeros is { Info.Type: "I32" }) zeros.Expect("I32", parameters, grid.Groups);
            else zeros?.Expect("I8", [.. scales.Info.Shape.Select(n => (long?)n)]);
            int[]? order = parts.TakeIf($"{module}.weight_g_idx") is { } index ? ForeignColumns.Order(index.Expect("I32 I64", columns), grid) : null;
            return new PackedTensor($"{module}.weight", grid, packing, codes, scales, zeros, order);
        }

        private static (long Rows, long Columns) Shape(ForeignPart shape)
        {
            ReadOnlySpan<byte> bytes = shape.Expect("I64 I32", 2).All();
            (long rows, long columns) = shape.Info.Type == "I64"
                ? (BinaryPrimitives.ReadInt64LittleEndian(bytes), BinaryPrimitives.ReadInt64LittleEndian(bytes[8..]))
                : (BinaryPrimitives.ReadInt32LittleEndian(bytes), BinaryPrimitives.ReadInt32LittleEndian(bytes[4..]));
            return rows is > 0 and <= int.MaxValue && columns is > 0 and <= 1 << 24 ? (rows, columns) : throw shape.Wrong($"holds {rows}, {columns}, which is no matrix's shape");
        }

        protected override void ReadCodes(int firstRow, int rows, Span<byte> codes)
        {
            for (int r = 0; r < rows; r++) _packing.Unpack(_codes.Row<uint>(firstRow + r), codes.Slice(r * Grid.Columns, Grid.Columns));
        }

        protected override void ReadParameters(int row, Span<float> scales, Span<float> zeros)
        {
            ForeignScales.Read(Scales, row, scales);
            if (_zeros is null) return;
            bool packed = _zeros.Info.Type == "I32";
            for (int g = 0; g < zeros.Length; g++)
                zeros[g] = packed ? ZeroPoint(row, g) : _zeros.Row<sbyte>(ForeignScales.RowOf(_zeros, row))[g] + (1 << (Grid.Bits - 1));
        }

        private int ZeroPoint(int row, int group)
        {
            (int word, int shift) = _packing.Place(row);
            ulong bits = _zeros!.Row<uint>(word)[group];
            if (shift + Grid.Bits > 32) bits |= (ulong)_zeros.Row<uint>(word + 1)[group] << 32;
            return (int)(bits >> shift) & ((1 << Grid.Bits) - 1);
        }
    }

    /// <summary>
    /// Codes in words of 32 bits: dense, as the newer versions write them, or as many whole ones as a word holds, as the older
    /// did. At 1, 2, 4 and 8 bits these are the same.
    /// </summary>
    private readonly record struct WordPacking(int Bits, bool Dense)
    {
        /// <summary>The packing by which so many columns take the words of a row.</summary>
        public static WordPacking Of(ForeignPart codes, long columns, int[] bits)
        {
            long words = codes.Info.Shape[1];
            WordPacking[] fits = [.. bits.Where(b => b is >= 1 and <= 8).SelectMany(b => new WordPacking[] { new(b, true), new(b, false) }).Where(p => p.Words(columns) == words)];
            if (fits.Length == 0) throw codes.Wrong($"has {words} words a row, which {columns} columns take at none of num_bits: {string.Join(", ", bits)}");
            // Up to so many columns both packings put every code in the same place.
            if (fits.Any(f => f.Bits != fits[0].Bits) || (fits.Length > 1 && 32 % fits[0].Bits != 0 && columns > 32 / fits[0].Bits))
                throw codes.Wrong($"has {words} words a row, which more than one packing of {columns} columns takes");
            return fits[0];
        }

        public long Words(long codes) => Dense ? (codes * Bits + 31) / 32 : (codes + 32 / Bits - 1) / (32 / Bits);

        public (int Word, int Shift) Place(int code) => Dense ? ((int)((long)code * Bits / 32), (int)((long)code * Bits % 32)) : (code / (32 / Bits), code % (32 / Bits) * Bits);

        public void Unpack(ReadOnlySpan<uint> words, Span<byte> codes)
        {
            if (Dense)
            {
                BitPacking.Unpack(System.Runtime.InteropServices.MemoryMarshal.AsBytes(words), Bits, codes);
                return;
            }
            for (int i = 0; i < codes.Length; i++)
            {
                (int word, int shift) = Place(i);
                codes[i] = (byte)(words[word] >> shift & ((1u << Bits) - 1));
            }
        }
    }
}
