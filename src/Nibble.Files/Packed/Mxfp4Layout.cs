using Nibble.Core.Formats;
using Nibble.Core.Memory;

namespace Nibble.Files.Packed;

/// <summary>
/// gpt-oss as OpenAI publishes it: NAME_blocks, U8 [..., rows, groups, 16], two 4-bit floats a byte, the earlier in the low
/// half; NAME_scales, U8 [..., rows, groups], their powers of two, biased by 127. MXFP4 has the same numbers, a group's
/// halves side by side. NAME holds outputs as rows here, though the float tensor of this name holds inputs.
/// </summary>
internal sealed class Mxfp4Layout : ForeignLayout
{
    private const string Blocks = "_blocks", Scales = "_scales";

    public override IReadOnlyList<string> Methods => ["mxfp4"];

    public override void Find(ForeignParts parts, QuantizationConfig config)
    {
        foreach (string name in parts.Before(Blocks))
        {
            ForeignPart blocks = parts.Take(name + Blocks), scales = parts.Take(name + Scales);
            if (blocks.Info.Type != "U8" || blocks.Info.Shape is not [.., _, _, 16])
                throw blocks.Wrong($"is {blocks.Info.Type} [{string.Join(", ", blocks.Info.Shape)}], but must be U8 [..., rows, groups, 16]");
            scales.Expect("U8", [.. blocks.Info.Shape.SkipLast(1).Select(n => (long?)n)]);
            parts.Add(new Tensor(name, blocks, scales));
        }
    }

    private sealed class Tensor(string name, ForeignPart blocks, ForeignPart scales)
        : ForeignTensor(TensorInfo.Of(name, Format.Parse("MXFP4"), [.. scales.Info.Shape.SkipLast(1), checked(scales.Info.Columns * 32)]))
    {
        protected override void Translate(int firstRow, Weight target)
        {
            int groups = (int)scales.Info.Columns;
            for (int r = 0; r < target.Rows; r++)
            {
                ReadOnlySpan<byte> exponents = scales.Row(firstRow + r);
                Span<byte> row = target.Row(r);
                for (int g = 0; g < groups; g++, row = row[17..])
                {
                    row[0] = exponents[g];
                    Deal(blocks.Row((long)(firstRow + r) * groups + g), row.Slice(1, 16));
                }
            }
        }

        /// <summary>Weights 2i and 2i + 1 in byte i become weights i and i + 16.</summary>
        private static void Deal(ReadOnlySpan<byte> pairs, Span<byte> halves)
        {
            for (int i = 0; i < 8; i++)
            {
                int early = pairs[i], late = pairs[i + 8];
                halves[2 * i] = (byte)((early & 15) | (late & 15) << 4);
                halves[2 * i + 1] = (byte)(early >> 4 | (late & 0xF0));
            }
        }
    }
}
