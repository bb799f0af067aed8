using System.Runtime.InteropServices;
using System.Text.Json;
using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Memory;

namespace Nibble.Files.Packed;

/// <summary>Another program's layout, in which a folder can be written.</summary>
public abstract class WrittenLayout
{
    /// <summary>Every layout that is written.</summary>
    public static IReadOnlyList<WrittenLayout> All { get; } =
        [new WrittenGptq(), new WrittenAwq(), new WrittenCompressedTensors(), new WrittenBitsAndBytes(), new WrittenFloat8()];

    /// <summary>Its name: the value of <c>quant_method</c>.</summary>
    public abstract string Name { get; }

    /// <summary>A format that it can hold, for messages.</summary>
    public abstract string Example { get; }

    /// <exception cref="UnusableInputException">No layout has the name.</exception>
    public static WrittenLayout Parse(string name) => All.FirstOrDefault(l => l.Name.Equals(name, StringComparison.OrdinalIgnoreCase))
        ?? throw new UnusableInputException($"there is no layout '{name}'; known are {string.Join(", ", All.Select(l => l.Name))}");

    /// <summary>Why the layout cannot hold a format, or null if it can.</summary>
    public abstract string? Refusal(Format format);

    /// <summary>Why the layout cannot hold a matrix of this shape, in a format that it can hold, or null if it can.</summary>
    internal virtual string? Refusal(Format format, long rows, long columns) => null;

    /// <summary>The parts of a weight, but for their bytes.</summary>
    internal IEnumerable<TensorInfo> Parts(string module, Format format, long rows, long columns)
    {
        foreach ((string name, string type, long[] shape) in Describe(module, format, rows, columns))
            yield return new TensorInfo(name, type, null, shape, shape.Aggregate(SizeOf(type), (bytes, n) => checked(bytes * n)));
    }

    private protected abstract IEnumerable<(string Name, string Type, long[] Shape)> Describe(string module, Format format, long rows, long columns);

    /// <summary>The bytes of the parts, in the order of <see cref="Parts"/>.</summary>
    internal abstract IEnumerable<byte[]> Pack(Weight weight);

    /// <summary>Writes what config.json says beside <c>quant_method</c>.</summary>
    internal abstract void WriteConfig(Utf8JsonWriter json, Format format);

    private protected static byte[] Bytes<T>(T[] numbers) where T : struct => MemoryMarshal.AsBytes(numbers.AsSpan()).ToArray();

    private static long SizeOf(string type) => type switch { "I64" => 8, "I32" or "F32" => 4, "U8" or "F8_E4M3" => 1, _ => 2 };
}
