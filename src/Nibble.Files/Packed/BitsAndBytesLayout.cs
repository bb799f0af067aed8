using System.Buffers.Binary;
using System.Text.Json;
using Nibble.Core.Formats;
using Nibble.Core.Memory;
using static System.FormattableString;

namespace Nibble.Files.Packed;

/// <summary>
/// bitsandbytes. NF4: weight, U8, codes of the matrix in a row, two a byte, the earlier in the high half; weight.absmax, a
/// scale for each block of 64 or so; where those are quantized again, weight.nested_absmax and weight.nested_quant_map;
/// weight.quant_state.bitsandbytes__nf4, JSON that gives the shape. LLM.int8(): weight, I8, and SCB, 127 times each row's
/// scale.
/// </summary>
internal sealed class BitsAndBytesLayout : ForeignLayout
{
    private const string State = ".weight.quant_state.bitsandbytes__nf4", OtherState = ".weight.quant_state.bitsandbytes__fp4", RowScales = ".SCB";

    public override IReadOnlyList<string> Methods => ["bitsandbytes"];

    public override void Find(ForeignParts parts, QuantizationConfig config)
    {
        if (parts.Before(OtherState) is [var other, ..])
            throw config.Error("bnb_4bit_quant_type", $"is fp4, of which {Quote.Name(other)} is made; only nf4 is known");
        foreach (string module in parts.Before(State)) parts.Add(Nf4Tensor.Of(module, parts));
        foreach (string module in parts.Before(RowScales))
        {
            ForeignPart codes = parts.Take($"{module}.weight").Expect("I8", null, null), scales = parts.Take(module + RowScales).Expect("F32", codes.Info.Shape[0]);
            if (parts.TakeIf($"{module}.weight_format") is { } order && order.All().ContainsAnyExcept((byte)0))
                throw order.Wrong("says that the weight is not stored by rows, which is not known");
            parts.Add(ForeignBytes.Of(codes.Info.Name, codes, scales, null, null, divisor: 127));
        }
    }

    private sealed class Nf4Tensor : ForeignTensor
    {
        private readonly ForeignPart _codes, _scales;
        private readonly int _block, _nestedBlock;
        private readonly float _offset;
        private readonly float[]? _nestedScales, _nestedLevels;

        private Nf4Tensor(TensorInfo info, ForeignPart codes, ForeignPart scales, Nf4State state, float[]? nestedScales, float[]? nestedLevels) : base(info)
        {
            (_codes, _scales, _nestedScales, _nestedLevels) = (codes, scales, nestedScales, nestedLevels);
            (_block, _nestedBlock, _offset) = (state.Block, state.NestedBlock, state.Offset);
        }

        public static Nf4Tensor Of(string module, ForeignParts parts)
        {
            string name = $"{module}.weight";
            ForeignPart codes = parts.Take(name), scales = parts.Take($"{name}.absmax");
            var state = Nf4State.Read(parts.Take(module + State));
            long count = (long)state.Rows * state.Columns, blocks = (count + state.Block - 1) / state.Block;
            if (codes.Info.Type != "U8" || codes.Info.Bytes != (count + 1) / 2) throw codes.Wrong($"holds {codes.Info.Bytes} bytes of {codes.Info.Type}, but [{state.Rows}, {state.Columns}] takes {(count + 1) / 2} of U8");
            CheckLevels(parts.Take($"{name}.quant_map").Expect("F32", 16));
            bool nested = scales.Expect("U8 F32", blocks).Info.Type == "U8";
            float[]? nestedScales = nested ? parts.Take($"{name}.nested_absmax").Expect("F32", (blocks + state.NestedBlock - 1) / state.NestedBlock).ReadAll() : null;
            float[]? nestedLevels = nested ? parts.Take($"{name}.nested_quant_map").Expect("F32", 256).ReadAll() : null;
            Granularity granularity = new ForeignGrid(state.Rows, state.Columns, 4, state.Block).Granularity(scales);
            // A row shorter than a block begins in the middle of one.
            if (granularity.Reach == Reach.Row && state.Block % state.Columns != 0) granularity = Granularity.Group(Even(state, scales));
            Format format = Format.Parse($"NF4-{granularity}-f32").ForColumns(state.Columns);
            if (format.BlockSize % 2 != 0) throw codes.Wrong($"holds two codes a byte, which scales for {format.BlockSize} weights cut; such matrices are not computed");
            return new Nf4Tensor(TensorInfo.Of(name, format, [state.Rows, state.Columns]), codes, scales, state, nestedScales, nestedLevels);
        }

        private static int Even(Nf4State state, ForeignPart scales)
        {
            int size = (int)System.Numerics.BigInteger.GreatestCommonDivisor(state.Columns, state.Block);
            return size >= 2 ? size : throw scales.Wrong($"is for blocks of {state.Block}, which rows of {state.Columns} cut anywhere; such rows are not computed");
        }

        private static void CheckLevels(ForeignPart map)
        {
            var levels = new float[16];
            Format.Parse("NF4-g16-f32").Decode([0, 0, 0x80, 0x3F, 0x10, 0x32, 0x54, 0x76, 0x98, 0xBA, 0xDC, 0xFE], levels);
            float[] stored = map.ReadAll();
            for (int i = 0; i < 16; i++)
                if (stored[i] != levels[i]) throw map.Wrong(Invariant($"gives code {i} the level {stored[i]}, but NF4 has {levels[i]}"));
        }

        protected override void Translate(int firstRow, Weight target)
        {
            int size = target.Format.BlockSize, columns = target.Columns;
            ReadOnlySpan<byte> codes = _codes.All();
            for (int r = 0; r < target.Rows; r++)
            {
                long at = (long)(firstRow + r) * columns;
                Span<byte> row = target.Row(r);
                for (int c = 0; c < columns; c += size, at += size, row = row[(4 + size / 2)..])
                {
                    BinaryPrimitives.WriteSingleLittleEndian(row, Scale((int)(at / _block)));
                    // The earlier of two codes moves from the high half to the low; size and at are even.
                    ReadOnlySpan<byte> pairs = codes.Slice((int)(at / 2), size / 2);
                    for (int i = 0; i < pairs.Length; i++) row[4 + i] = (byte)(pairs[i] >> 4 | pairs[i] << 4);
                }
            }
        }

        private float Scale(int block)
        {
            float scale = _nestedScales is null ? BinaryPrimitives.ReadSingleLittleEndian(_scales.All()[(4 * block)..])
                : _nestedLevels![_scales.All()[block]] * _nestedScales[block / _nestedBlock] + _offset;
            return float.IsFinite(scale) ? scale : throw _scales.Wrong(Invariant($"gives block {block} the scale {scale}; the checkpoint is damaged"));
        }
    }

    /// <summary>What the JSON beside a packed matrix says.</summary>
    private readonly record struct Nf4State(int Rows, int Columns, int Block, int NestedBlock, float Offset)
    {
        public static Nf4State Read(ForeignPart part)
        {
            try
            {
                using JsonDocument json = JsonDocument.Parse(part.All().ToArray());
                JsonElement root = json.RootElement;
                long[] shape = [.. root.GetProperty("shape").EnumerateArray().Select(n => n.GetInt64())];
                int block = root.GetProperty("blocksize").GetInt32();
                int nested = root.TryGetProperty("nested_blocksize", out JsonElement size) ? size.GetInt32() : 256;
                float offset = root.TryGetProperty("nested_offset", out JsonElement number) ? number.GetSingle() : 0;
                if (shape is [> 0 and <= int.MaxValue, > 0 and <= 1 << 24] && block >= 2 && block % 2 == 0 && nested > 0 && float.IsFinite(offset))
                    return new Nf4State((int)shape[0], (int)shape[1], block, nested, offset);
            }
            catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
            {
                throw part.Wrong($"is not the JSON that bitsandbytes writes: {e.Message.ReplaceLineEndings(" ")}");
            }
            throw part.Wrong("gives a shape, a block size or an offset that no matrix has");
        }
    }
}
