using System.Text.Json;
using Nibble.Core.Formats;
using Nibble.Core.Memory;

namespace Nibble.Files.Packed;

/// <summary>A layout for linear formats: codes in words of 32 bits, scales, zero points.</summary>
internal abstract class WrittenLinear : WrittenLayout
{
    public override string Example => "Linear4-sym-g128";

    public sealed override string? Refusal(Format format) => format switch
    {
        not LinearFormat => "holds linear formats only",
        LinearFormat { Kind: LinearKind.Minimum } => "has zero points, no minimums",
        LinearFormat { Granularity.Reach: Reach.Tensor } => "has scales for groups or rows",
        LinearFormat { Scale: ScaleType.Byte or ScaleType.ByteRow or ScaleType.PowerOfTwo } => "has scales in F16, BF16 or F32",
        LinearFormat { Bits: var bits } when !Bits.Contains(bits) => $"has codes of {string.Join(", ", Bits)} bits",
        _ => null,
    };

    private protected abstract IReadOnlyList<int> Bits { get; }

    internal sealed override string? Refusal(Format format, long rows, long columns) => Refusal((LinearFormat)format, rows, columns);

    private protected virtual string? Refusal(LinearFormat format, long rows, long columns) => null;

    private protected sealed override IEnumerable<(string Name, string Type, long[] Shape)> Describe(string module, Format format, long rows, long columns) =>
        Describe(module, (LinearFormat)format, rows, columns, columns / format.ForColumns((int)columns).BlockSize);

    private protected abstract IEnumerable<(string Name, string Type, long[] Shape)> Describe(string module, LinearFormat format, long rows, long columns, long groups);

    internal sealed override IEnumerable<byte[]> Pack(Weight weight) => Pack(new LinearMatrix(weight));

    private protected abstract IEnumerable<byte[]> Pack(LinearMatrix matrix);

    internal sealed override void WriteConfig(Utf8JsonWriter json, Format format) => WriteConfig(json, (LinearFormat)format);

    private protected abstract void WriteConfig(Utf8JsonWriter json, LinearFormat format);

    private protected static int GroupSize(LinearFormat format) => format.Granularity.Reach == Reach.Group ? format.Granularity.Size : -1;

    /// <summary>Runs of words that each belong to a column: [words, columns].</summary>
    private protected static byte[] Down(int columns, int words, Func<int, uint[]> column)
    {
        var all = new uint[checked(words * columns)];
        Parallel.For(0, columns, c =>
        {
            uint[] run = column(c);
            for (int w = 0; w < words; w++) all[w * columns + c] = run[w];
        });
        return Bytes(all);
    }
}
