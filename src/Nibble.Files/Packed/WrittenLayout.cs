using System.Runtime.InteropServices;
using System.Text.Json;
using Nibble.Core;
using Nibble.Core.Formats;

namespace Nibble.Files.Packed;

/// <summary>A part of a packed weight as it is written.</summary>
internal sealed record WrittenPart(string Name, string Type, long[] Shape, byte[] Bytes);

/// <summary>Another program's layout for linear formats, in which a folder can be written.</summary>
public abstract class WrittenLayout
{
    /// <summary>Every layout that is written.</summary>
    public static IReadOnlyList<WrittenLayout> All { get; } = [new WrittenGptq(), new WrittenAwq(), new WrittenCompressedTensors()];

    /// <summary>Its name: the value of <c>quant_method</c>.</summary>
    public abstract string Name { get; }

    /// <exception cref="UnusableInputException">No layout has the name.</exception>
    public static WrittenLayout Parse(string name) => All.FirstOrDefault(l => l.Name.Equals(name, StringComparison.OrdinalIgnoreCase))
        ?? throw new UnusableInputException($"--layout: there is no layout '{name}'; known are {string.Join(", ", All.Select(l => l.Name))}");

    /// <summary>Why the layout cannot hold a format, or null if it can.</summary>
    public string? Refusal(Format format) => format switch
    {
        not LinearFormat => "holds linear formats only",
        LinearFormat { Kind: LinearKind.Minimum } => "has zero points, no minimums",
        LinearFormat { Granularity.Reach: Reach.Tensor } => "has scales for groups or rows",
        LinearFormat { Scale: ScaleType.Byte or ScaleType.ByteRow or ScaleType.PowerOfTwo } => "has scales in F16, BF16 or F32",
        LinearFormat { Bits: var bits } when !Bits.Contains(bits) => $"has codes of {string.Join(", ", Bits)} bits",
        _ => null,
    };

    private protected abstract IReadOnlyList<int> Bits { get; }

    /// <summary>Why the layout cannot hold a matrix of this shape, or null if it can.</summary>
    internal virtual string? Refusal(LinearFormat format, long rows, long columns) => null;

    /// <summary>The parts of a weight, but for their bytes.</summary>
    internal IEnumerable<TensorInfo> Parts(string module, LinearFormat format, long rows, long columns)
    {
        foreach ((string name, string type, long[] shape) in Describe(module, format, rows, columns, columns / format.ForColumns((int)columns).BlockSize))
            yield return new TensorInfo(name, type, null, shape, shape.Aggregate(SizeOf(type), (bytes, n) => checked(bytes * n)));
    }

    private protected abstract IEnumerable<(string Name, string Type, long[] Shape)> Describe(string module, LinearFormat format, long rows, long columns, long groups);

    /// <summary>The bytes of the parts, in the order of <see cref="Parts"/>.</summary>
    internal abstract IEnumerable<byte[]> Pack(LinearMatrix matrix);

    /// <summary>Writes what config.json says beside <c>quant_method</c>.</summary>
    internal abstract void WriteConfig(Utf8JsonWriter json, LinearFormat format);

    private protected static int GroupSize(LinearFormat format) => format.Granularity.Reach == Reach.Group ? format.Granularity.Size : -1;

    private protected static byte[] Bytes<T>(T[] numbers) where T : struct => MemoryMarshal.AsBytes(numbers.AsSpan()).ToArray();

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

    private static long SizeOf(string type) => type switch { "I64" => 8, "I32" or "F32" => 4, _ => 2 };
}
