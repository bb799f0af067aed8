using Nibble.Core;
using Nibble.Core.Formats;

namespace Nibble.Files;

/// <summary>What a file says of one tensor.</summary>
/// <param name="Name">Unique in its file.</param>
/// <param name="Type">The file's own word for the element type: <c>BF16</c>, <c>I32</c>, <c>Q4_K</c>.</param>
/// <param name="Format">The format of the numbers, or null where they are not weights (integers, booleans).</param>
/// <param name="Shape">Outermost first, so the last is the row's length (GGUF stores the reverse).</param>
/// <param name="Bytes">The length of its data.</param>
public sealed record TensorInfo(string Name, string Type, Format? Format, IReadOnlyList<long> Shape, long Bytes)
{
    /// <summary>True if the columns of its blocks are in another order than the input's (<see cref="Core.Memory.Weight.ColumnOrder"/>).</summary>
    public bool HasColumnOrder { get; init; }

    /// <summary>A tensor of weights that is still to be written.</summary>
    /// <exception cref="UnusableInputException">The format's block does not divide the row.</exception>
    public static TensorInfo Of(string name, Format format, IReadOnlyList<long> shape)
    {
        var tensor = new TensorInfo(name, format.Name, format, shape, 0);
        return tensor with { Bytes = checked(format.RowBytes(tensor.Columns) * tensor.Rows) };
    }

    /// <summary>The length of its data and of the table that it shares, if any.</summary>
    public long BytesWithTable => Bytes + (Format?.SharedBytes ?? 0);

    /// <summary>The number of elements.</summary>
    public long Elements => Shape.Aggregate(1L, (product, n) => product * n);

    /// <summary>The length of a row: the innermost dimension, 1 for a scalar.</summary>
    public long Columns => Shape.Count == 0 ? 1 : Shape[^1];

    /// <summary>All dimensions but the innermost, multiplied.</summary>
    public long Rows => Columns == 0 ? 0 : Elements / Columns;

    /// <summary>The product of the dimensions, or null if one is negative or the product passes 2^63.</summary>
    internal static long? Product(ReadOnlySpan<long> shape)
    {
        long product = 1;
        foreach (long n in shape)
        {
            if (n < 0 || (n > 0 && product > long.MaxValue / n)) return null;
            product *= n;
        }
        return product;
    }
}
