using System.Runtime.InteropServices;
using Nibble.Core;

namespace Nibble.Files.Packed;

/// <summary>A stored tensor that is a part of a packed weight: its codes, its scales, its zero points.</summary>
internal sealed unsafe class ForeignPart(MappedTensors file, TensorInfo info)
{
    private readonly byte* _data = file.Data(info);
    private readonly int _rowBytes = checked((int)(info.Bytes / Math.Max(info.Rows, 1)));

    public TensorInfo Info { get; } = info;

    /// <summary>The bytes of one row.</summary>
    public ReadOnlySpan<byte> Row(long row) => new(_data + row * _rowBytes, _rowBytes);

    /// <summary>The bytes of one row, seen as numbers.</summary>
    public ReadOnlySpan<T> Row<T>(long row) where T : struct => MemoryMarshal.Cast<byte, T>(Row(row));

    /// <summary>All bytes of a small part.</summary>
    public ReadOnlySpan<byte> All() => Info.Bytes <= int.MaxValue ? new(_data, (int)Info.Bytes) : throw Wrong($"has {Info.Bytes} bytes; at most {int.MaxValue} are read");

    /// <summary>One number of a matrix of floats.</summary>
    public float Number(long row, int column)
    {
        int size = Info.Format!.BlockBytes;
        float number = 0;
        Info.Format.Decode(Row(row).Slice(column * size, size), new Span<float>(ref number));
        return number;
    }

    /// <summary>All numbers of a small part.</summary>
    public float[] ReadAll()
    {
        var numbers = new float[checked((int)Info.Elements)];
        Info.Format!.Decode(All(), numbers);
        return numbers;
    }

    /// <summary>Refuses another type than the layout has, or another shape; null is any length.</summary>
    public ForeignPart Expect(string types, params ReadOnlySpan<long?> shape)
    {
        bool right = types.Split(' ').Contains(Info.Type) && Info.Shape.Count == shape.Length && Info.Elements > 0;
        for (int i = 0; right && i < shape.Length; i++) right = shape[i] is not { } length || Info.Shape[i] == length;
        return right ? this : throw Wrong($"is {Info.Type} [{string.Join(", ", Info.Shape)}], but must be {types} [{string.Join(", ", shape.ToArray().Select(n => n is { } length ? $"{length}" : "any"))}]");
    }

    public UnusableInputException Wrong(string what) => new($"{file.Path}: tensor {Quote.Name(Info.Name)} {what}");
}
