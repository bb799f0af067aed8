using Nibble.Core;

namespace Nibble.Files.Packed;

/// <summary>A stored tensor that is a part of a packed weight: its codes, its scales, its zero points.</summary>
internal sealed unsafe class ForeignPart(MappedTensors file, TensorInfo info)
{
    public TensorInfo Info { get; } = info;

    /// <summary>The bytes of one row.</summary>
    public ReadOnlySpan<byte> Row(long row)
    {
        int bytes = checked((int)(Info.Bytes / Info.Rows));
        return new ReadOnlySpan<byte>(file.Data(Info) + row * bytes, bytes);
    }

    /// <summary>All bytes of a small part.</summary>
    public ReadOnlySpan<byte> All() => new(file.Data(Info), checked((int)Info.Bytes));

    /// <summary>The numbers of a row of floats.</summary>
    public void ReadRow(long row, Span<float> numbers) => Info.Format!.Decode(Row(row), numbers);

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
        return right ? this : throw Wrong($"is {Info.Type} [{string.Join(", ", Info.Shape)}], but must be {types} [{string.Join(", ", shape.ToArray().Select(n => n?.ToString() ?? "any"))}]");
    }

    public UnusableInputException Wrong(string what) => new($"{file.Path}: tensor {Quote.Name(Info.Name)} {what}");
}
