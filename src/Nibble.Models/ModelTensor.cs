using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Files;
using Nibble.Models.Architectures;

namespace Nibble.Models;

/// <summary>
/// A tensor of the model, whatever the checkpoint made of it: split by expert, fused, transposed, its rows in another
/// order. Where the checkpoint stores it as it is, nothing is copied.
/// </summary>
public sealed unsafe class ModelTensor
{
    private readonly TensorFile _file;
    private readonly ModelConfig _config;
    private readonly TensorName _entry;
    private readonly RowOrder? _order;
    private readonly bool _transposed;
    private readonly float _offset;

    internal ModelTensor(string name, TensorName entry, ModelConfig config, TensorFile file, IReadOnlyList<TensorInfo> stored,
        (int Experts, int Rows, int Columns) shape, bool fromHuggingFace)
    {
        (Name, _entry, _config, _file, Stored) = (name, entry, config, file, stored);
        (Experts, Rows, Columns) = shape;
        if (fromHuggingFace) (_order, _transposed, _offset) = (entry.Order, entry.Transposed && !IsVector, name.EndsWith(".weight", StringComparison.Ordinal) ? entry.Offset : 0);
    }

    /// <summary>llama.cpp's name in all but a few cases: <c>blk.0.attn_q.weight</c>.</summary>
    public string Name { get; }

    /// <summary>Matrices of <see cref="Rows"/> by <see cref="Columns"/>; 1 where there are no experts.</summary>
    public int Experts { get; }

    /// <summary>1 for a vector.</summary>
    public int Rows { get; }

    public int Columns { get; }

    /// <summary>A norm, a bias, a list of sinks: kept as float32, never quantized.</summary>
    public bool IsVector => Rows == 1;

    /// <summary>What the checkpoint stores: one tensor, or one an expert.</summary>
    public IReadOnlyList<TensorInfo> Stored { get; }

    /// <summary>The format it is stored in.</summary>
    public Format Format => Stored[0].Format!;

    /// <summary>The row of the table that names it.</summary>
    internal TensorName Entry => _entry;

    /// <summary>The matrix of one expert, or the only one: a view where the checkpoint has it so, else a copy.</summary>
    public Weight Load(int expert = 0)
    {
        Weight stored = _file.Load(Stored.Count > 1 ? Stored[expert] : Stored[0]);
        int first = Stored.Count > 1 ? 0 : expert * StoredRows;
        string name = Experts == 1 ? Name : $"{Name}[{expert}]";
        if (_transposed) return Transpose(stored, first, name);
        if (_order is null) return stored.Rows == Rows ? stored : stored.Slice(name, first, Rows);
        Weight copy = Weight.Allocate(name, stored.Format, Rows, Columns);
        for (int r = 0; r < Rows; r++) stored.Row(first + _order(r, _config)).CopyTo(copy.Row(r));
        return copy;
    }

    /// <summary>The numbers of a vector: all of it, or one expert's.</summary>
    public float[] LoadVector(int expert = 0)
    {
        var vector = new float[Columns];
        Weight stored = _file.Load(Stored.Count > 1 ? Stored[expert] : Stored[0]);
        var whole = new float[(long)stored.Rows * stored.Columns];
        for (int r = 0; r < stored.Rows; r++) stored.ReadRow(r, whole.AsSpan(r * stored.Columns));
        int first = Stored.Count > 1 ? 0 : expert * Columns * _entry.Shares;
        for (int i = 0; i < vector.Length; i++)
        {
            vector[i] = whole[first + (_order?.Invoke(i, _config) ?? i)] + _offset;
            if (!float.IsFinite(vector[i]))
                throw new UnusableInputException($"{_file.Path}: tensor {Quote.Name(Stored[0].Name)} holds {vector[i]} at {first + i}; the checkpoint is damaged");
        }
        return vector;
    }

    /// <summary>Rows of one expert in the checkpoint's tensor.</summary>
    private int StoredRows => _transposed ? Columns : Rows * _entry.Shares;

    private Weight Transpose(Weight stored, int firstRow, string name)
    {
        if (stored.Format.BlockSize != 1)
            throw new UnusableInputException($"{_file.Path}: tensor {Quote.Name(Stored[0].Name)} is {stored.Format} with inputs as rows; only floats can be turned");
        Weight turned = Weight.Allocate(name, stored.Format, Rows, Columns);
        int size = stored.Format.BlockBytes;
        for (int c = 0; c < Columns; c++)
        {
            Span<byte> from = stored.Row(firstRow + c);
            for (int r = 0; r < Rows; r++)
                from.Slice((_order?.Invoke(r, _config) ?? r) * size, size).CopyTo(turned.Row(r).Slice(c * size, size));
        }
        return turned;
    }
}
