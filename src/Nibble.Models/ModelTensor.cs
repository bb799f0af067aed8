using System.Runtime.InteropServices;
using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Files;
using Nibble.Models.Architectures;
using static System.FormattableString;

namespace Nibble.Models;

/// <summary>
/// A tensor of the model, whatever the checkpoint made of it: split by expert, fused, transposed, its rows in another
/// order. Where the checkpoint stores it as it is, nothing is copied.
/// </summary>
public sealed unsafe class ModelTensor
{
    private readonly TensorFile _file;
    private readonly ModelConfig _config;
    private readonly RowOrder? _order;
    private readonly bool _transposed;
    private readonly float _offset;
    private readonly int _stride;
    private readonly int _first;

    internal ModelTensor(string name, TensorName entry, ModelConfig config, TensorFile file, IReadOnlyList<TensorInfo> stored,
        (int Experts, int Rows, int Columns) shape, bool huggingFace)
    {
        (Name, Entry, _config, _file, Stored) = (name, entry, config, file, stored);
        (Experts, Rows, Columns) = shape;
        _stride = IsVector ? Columns : Rows;
        if (!huggingFace) return;
        _order = entry.Order;
        // Blocks run along the inputs: a packed matrix holds outputs as rows, whatever the float one does.
        _transposed = entry.Transposed && !IsVector && (entry.Part is not null || stored[0].Format!.BlockSize == 1);
        if (name.EndsWith(".weight", StringComparison.Ordinal)) _offset = entry.Offset;
        (_stride, _first) = entry.Part ?? ((_transposed ? Columns : _stride * entry.Shares), 0);
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

    /// <summary>The format of what <see cref="Load"/> gives: the stored one, if that can be had in our order of numbers.</summary>
    public Format Format => IsDecoded ? FloatFormat.F32 : Stored[0].Format!;

    /// <summary>True if it is the transpose of a matrix that is stored in blocks, which are then decoded.</summary>
    public bool IsDecoded => _transposed && Stored[0].Format!.BlockSize != 1;

    /// <summary>What <see cref="LoadVector"/> adds to the stored numbers: 1 for norms that multiply by 1 + w, else 0.</summary>
    public float Offset => _offset;

    /// <summary>True if the checkpoint has this tensor and nothing else under its name, its rows in the same order.</summary>
    public bool IsStoredAsIs => Stored.Count == 1 && _order is null && !_transposed && Stored[0].Elements == (long)Experts * Rows * Columns;

    /// <summary>True if the checkpoint stores the matrix with inputs as rows.</summary>
    public bool IsTransposed => _transposed;

    /// <summary>llama.cpp's name, always.</summary>
    public string GgufName
    {
        get
        {
            string part = Name[Name.LastIndexOf('.')..], pattern = Entry.Gguf;
            return pattern.Contains("{l}", StringComparison.Ordinal)
                ? pattern.Replace("{l}", Name.Split('.')[1], StringComparison.Ordinal) + part : pattern + part;
        }
    }

    /// <summary>The row of the checkpoint's tensor that a row of an expert's matrix is; of a transposed one, once it is turned.</summary>
    public int StoredRow(int expert, int row)
    {
        int stride = _transposed ? Rows * Entry.Shares : _stride, first = _transposed ? 0 : _first;
        return (Stored.Count > 1 ? 0 : expert * stride) + first + (_order?.Invoke(row, _config) ?? row);
    }

    /// <summary>The row of the table that names it.</summary>
    internal TensorName Entry { get; }

    /// <summary>The matrix of one expert, or the only one: a view where the checkpoint has it so, else a copy.</summary>
    public Weight Load(int expert = 0)
    {
        (TensorInfo stored, int first) = Place(expert);
        string name = Experts == 1 ? Name : $"{Name}[{expert}]";
        if (_transposed) return Transpose(_file.Load(stored, first, Columns), name);
        if (_order is null)
        {
            Weight part = _file.Load(stored, first, Rows);
            return Experts == 1 && part.Rows == stored.Rows ? part : part.Slice(name, 0, Rows);
        }
        Weight all = _file.Load(stored, first, Math.Min(_stride, (int)stored.Rows - first));
        Weight copy = Weight.Allocate(name, all.Format, Rows, Columns);
        for (int r = 0; r < Rows; r++) all.Row(_order(r, _config)).CopyTo(copy.Row(r));
        return all.ColumnOrder is { } columns ? copy.WithColumnOrder(columns) : copy;
    }

    /// <summary>The numbers of a vector: all of it, or one expert's.</summary>
    public float[] LoadVector(int expert = 0)
    {
        bool byHead = Experts == 1 && Stored.Count > 1;
        float[] whole = byHead ? [.. Stored.SelectMany(t => Read(_file.Load(t)))] : Read(_file.Load(Place(expert).Stored));
        int first = Stored.Count > 1 ? 0 : expert * _stride;
        var vector = new float[Columns];
        for (int i = 0; i < vector.Length; i++)
        {
            vector[i] = whole[first + (_order?.Invoke(i, _config) ?? i)] + _offset;
            if (!float.IsFinite(vector[i]))
                throw new UnusableInputException(Invariant($"{_file.Path}: tensor {Quote.Name(Stored[0].Name)} holds {vector[i]} at {first + i}; the checkpoint is damaged"));
        }
        return vector;
    }

    /// <summary>The stored tensor that holds an expert, and the row where it begins.</summary>
    private (TensorInfo Stored, int First) Place(int expert) => Stored.Count > 1 ? (Stored[expert], _first) : (Stored[0], expert * _stride + _first);

    private static float[] Read(Weight stored)
    {
        var whole = new float[(long)stored.Rows * stored.Columns];
        for (int r = 0; r < stored.Rows; r++) stored.ReadRow(r, whole.AsSpan(r * stored.Columns));
        return whole;
    }

    private Weight Transpose(Weight stored, string name)
    {
        Weight turned = Weight.Allocate(name, Format, Rows, Columns);
        int size = Format.BlockBytes;
        var decoded = new float[IsDecoded ? stored.Columns : 0];
        for (int c = 0; c < Columns; c++)
        {
            if (IsDecoded) stored.ReadRow(c, decoded);
            Span<byte> from = IsDecoded ? MemoryMarshal.AsBytes(decoded.AsSpan()) : stored.Row(c);
            for (int r = 0; r < Rows; r++)
                from.Slice((_order?.Invoke(r, _config) ?? r) * size, size).CopyTo(turned.Row(r).Slice(c * size, size));
        }
        return turned;
    }
}
