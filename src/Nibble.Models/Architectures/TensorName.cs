namespace Nibble.Models.Architectures;

/// <summary>Whether a tensor is in the checkpoint.</summary>
public enum Presence
{
    No,
    Yes,
    /// <summary>The checkpoint decides.</summary>
    Maybe,
}

/// <summary>Where row <paramref name="row"/> of a tensor lies in a checkpoint that orders its rows otherwise.</summary>
public delegate int RowOrder(int row, ModelConfig config);

/// <summary>
/// A row of an architecture's table: one module's name here (which is llama.cpp's, but for a few) and in a Hugging Face
/// checkpoint. <c>{l}</c> stands for the layer, <c>{e}</c> for an expert where each has a tensor of its own, <c>{h}</c> for a
/// head; the weight is <c>NAME.weight</c>, the bias <c>NAME.bias</c>.
/// </summary>
public sealed record TensorName(string Name, string HuggingFace)
{
    /// <summary>The module's name in GGUF, if llama.cpp calls it otherwise.</summary>
    public string Gguf { get; init; } = Name;

    public Presence Weight { get; init; } = Presence.Yes;

    public Presence Bias { get; init; } = Presence.No;

    /// <summary>The layers that have it; null is all.</summary>
    public Predicate<int>? Layers { get; init; }

    /// <summary>In Hugging Face's checkpoint the weight has the module's bare name, and the bias the name and <c>_bias</c>.</summary>
    public bool Bare { get; init; }

    /// <summary>Hugging Face stores the matrix with inputs as rows.</summary>
    public bool Transposed { get; init; }

    /// <summary>Hugging Face's order of rows, where it is not ours; null is the same.</summary>
    public RowOrder? Order { get; init; }

    /// <summary>Tensors of ours that one of Hugging Face's holds, in the order of <see cref="Order"/>.</summary>
    public int Shares { get; init; } = 1;

    /// <summary>
    /// Where one matrix after the other lies in a tensor of Hugging Face's that holds more than them: rows from one to the
    /// next, and the row where the first begins. Null is without gaps.
    /// </summary>
    public (int Stride, int First)? Part { get; init; }

    /// <summary>GGUF's order of our rows, where it is not ours; null is the same.</summary>
    public RowOrder? GgufOrder { get; init; }

    /// <summary>Hugging Face stores the weight less this (Gemma's norms multiply by 1 + w).</summary>
    public float Offset { get; init; }
}

/// <summary>Orders of rows that checkpoints have.</summary>
internal static class RowOrders
{
    /// <summary>
    /// llama.cpp rotates neighbours where Hugging Face rotates halves, and so stores a head's row i + j * half as 2i + j.
    /// </summary>
    public static int HalvesToPairs(int row, ModelConfig config)
    {
        int at = row % config.HeadSize, rotated = config.Layers[0].Rotary?.Dimensions ?? 0;
        return at < rotated ? row - at + at % 2 * (rotated / 2) + at / 2 : row;
    }

    /// <summary>Query, key and value of each head in turn.</summary>
    public static int QueryKeyValueByHead(int row, ModelConfig config)
    {
        int width = config.Heads * config.HeadSize;
        int part = row / width, head = row % width / config.HeadSize, at = row % config.HeadSize;
        return (head * 3 + part) * config.HeadSize + at;
    }

    public static int Even(int row, ModelConfig config) => 2 * row;

    public static int Odd(int row, ModelConfig config) => 2 * row + 1;
}
