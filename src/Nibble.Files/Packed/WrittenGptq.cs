using System.Text.Json;
using Nibble.Core.Formats;

namespace Nibble.Files.Packed;

/// <summary>
/// What <see cref="GptqLayout"/> reads. Symmetric formats are written as version 1, which every program reads; those with
/// zero points as version 2, since version 1 cannot say a zero point of 0 that all programs understand alike.
/// </summary>
internal sealed class WrittenGptq : WrittenLinear
{
    public override string Name => "gptq";

    private protected override IReadOnlyList<int> Bits => [2, 3, 4, 8];

    private protected override string? Refusal(LinearFormat format, long rows, long columns) =>
        rows * format.Bits % 32 != 0 || columns * format.Bits % 32 != 0 ? $"packs rows and columns into words of 32 bits, which {format.Bits}-bit codes of [{rows}, {columns}] do not fill" : null;

    private protected override IEnumerable<(string Name, string Type, long[] Shape)> Describe(string module, LinearFormat format, long rows, long columns, long groups) =>
    [
        ($"{module}.qweight", "I32", [columns * format.Bits / 32, rows]),
        ($"{module}.qzeros", "I32", [groups, rows * format.Bits / 32]),
        ($"{module}.scales", LinearMatrix.TypeOf(format).Name, [groups, rows]),
        ($"{module}.g_idx", "I32", [columns]),
    ];

    private protected override IEnumerable<byte[]> Pack(LinearMatrix m)
    {
        int lessOne = m.IsSymmetric ? 1 : 0;
        yield return Down(m.Rows, m.Columns * m.Bits / 32, row => LinearMatrix.Words(m.Codes(row), m.Bits));
        yield return Bytes<uint>([.. Enumerable.Range(0, m.Groups).SelectMany(g =>
            LinearMatrix.Words([.. Enumerable.Range(0, m.Rows).Select(row => (byte)(m.Zero(row, g) - lessOne))], m.Bits))]);
        yield return m.Scales(byGroup: true);
        yield return Bytes<int>([.. Enumerable.Range(0, m.Columns).Select(c => c / (m.Columns / m.Groups))]);
    }

    private protected override void WriteConfig(Utf8JsonWriter json, LinearFormat format)
    {
        bool symmetric = format.Kind == LinearKind.Symmetric;
        json.WriteNumber("bits", format.Bits);
        json.WriteNumber("group_size", GroupSize(format));
        json.WriteBoolean("desc_act", false);
        json.WriteBoolean("sym", symmetric);
        json.WriteBoolean("lm_head", false);
        json.WriteString("checkpoint_format", symmetric ? "gptq" : "gptq_v2");
    }
}
