using System.Text.Json;
using Nibble.Core.Formats;

namespace Nibble.Files.Packed;

/// <summary>What <see cref="AwqLayout"/> reads.</summary>
internal sealed class WrittenAwq : WrittenLinear
{
    public override string Name => "awq";
    public override string Example => "Linear4-g128";

    private protected override IReadOnlyList<int> Bits => [4];

    private protected override string? Refusal(LinearFormat format, long rows, long columns) => rows % 8 != 0 ? $"packs eight outputs into a word, which do not divide {rows}" : null;

    private protected override IEnumerable<(string Name, string Type, long[] Shape)> Describe(string module, LinearFormat format, long rows, long columns, long groups) =>
    [
        ($"{module}.qweight", "I32", [columns, rows / 8]),
        ($"{module}.qzeros", "I32", [groups, rows / 8]),
        ($"{module}.scales", LinearMatrix.TypeOf(format).Name, [groups, rows]),
    ];

    private protected override IEnumerable<byte[]> Pack(LinearMatrix m)
    {
        int words = m.Rows / 8;
        var codes = new uint[checked(m.Columns * words)];
        Parallel.For(0, words, word =>
        {
            for (int output = 0; output < 8; output++)
            {
                ReadOnlySpan<byte> row = m.Codes(word * 8 + output);
                for (int c = 0; c < row.Length; c++) codes[c * words + word] |= (uint)row[c] << (4 * AwqLayout.Place[output]);
            }
        });
        var zeros = new uint[m.Groups * words];
        for (int row = 0; row < m.Rows; row++)
            for (int g = 0; g < m.Groups; g++) zeros[g * words + row / 8] |= (uint)m.Zero(row, g) << (4 * AwqLayout.Place[row % 8]);
        yield return Bytes(codes);
        yield return Bytes(zeros);
        yield return m.Scales(byGroup: true);
    }

    private protected override void WriteConfig(Utf8JsonWriter json, LinearFormat format)
    {
        json.WriteNumber("bits", 4);
        json.WriteNumber("group_size", GroupSize(format));
        json.WriteBoolean("zero_point", true);
        json.WriteString("version", "gemm");
        json.WriteNull("modules_to_not_convert");
    }
}
