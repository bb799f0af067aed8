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
    /// <summary>The number of elements.</summary>
    public long Elements => Shape.Aggregate(1L, (product, n) => product * n);

    /// <summary>The length of a row: the innermost dimension, 1 for a scalar.</summary>
    public long Columns => Shape.Count == 0 ? 1 : Shape[^1];

    /// <summary>All dimensions but the innermost, multiplied.</summary>
    public long Rows => Columns == 0 ? 0 : Elements / Columns;
}
