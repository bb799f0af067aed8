using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Files;
using Nibble.Models;

namespace Nibble.Quantization;

/// <summary>
/// A tensor of a Hugging Face folder for a folder like it: under its name there, its rows in the order they have there. A
/// matrix that is stored with inputs as rows is turned when it is quantized, since a format's blocks run along the inputs.
/// </summary>
internal sealed class CheckpointTensor : SourceTensor
{
    private readonly TensorFile _file;
    private readonly TensorInfo _stored;
    private readonly (ModelTensor Tensor, int Expert)[] _parts;
    private readonly Lock _loading = new();
    private volatile Weight? _weight;
    private Lazy<(Weight[] Matrices, RowPlace[] Places)> _turnedRows;

    private CheckpointTensor(TensorFile file, TensorInfo stored, (ModelTensor Tensor, int Expert)[] parts, bool turned)
        : base(TensorInfo.Of(parts[0].Tensor.GgufName, stored.Format!, turned ? [.. stored.Shape.SkipLast(2), stored.Shape[^1], stored.Shape[^2]] : stored.Shape), stored.Format!)
    {
        (_file, _stored, _parts, IsTurned) = (file, stored, parts, turned);
        _turnedRows = TurnedRows();
    }

    /// <summary>The tensors of a model that was opened from a folder, layer by layer; those that only few bits would not suit are left out.</summary>
    public static IEnumerable<CheckpointTensor> All(ModelSource source)
    {
        var parts = new Dictionary<string, List<(ModelTensor, int)>>();
        foreach (ModelTensor tensor in source.Tensors.Values)
            for (int i = 0; i < tensor.Stored.Count; i++)
            {
                string name = tensor.Stored[i].Name;
                if (!parts.TryGetValue(name, out List<(ModelTensor, int)>? held)) parts[name] = held = [];
                bool each = tensor.Stored.Count == tensor.Experts && tensor.Experts > 1;
                held.AddRange(each ? [(tensor, i)] : Enumerable.Range(0, tensor.Experts).Select(e => (tensor, e)));
            }
        foreach ((string name, List<(ModelTensor Tensor, int Expert)> held) in parts)
        {
            int turned = held.Count(p => p.Tensor.IsTransposed);
            // A tensor that is read both ways (the keys and values of latent attention) stays as it is.
            if (turned > 0 && turned < held.Count) continue;
            yield return new CheckpointTensor(source.File, source.File.Get(name), [.. held], turned > 0);
        }
    }

    /// <summary>Its name in the checkpoint.</summary>
    public string StoredName => _stored.Name;

    public override float Offset => _parts[0].Tensor.Offset;

    public override bool IsTurned { get; }

    public override int Rows => (int)Info.Rows;

    public override int Columns => (int)Info.Columns;

    /// <summary>The stored matrix, from when it is first read until all of it is released.</summary>
    private Weight Stored
    {
        get
        {
            if (_weight is { } weight) return weight;
            lock (_loading) return _weight ??= _file.Load(_stored);
        }
    }

    private Lazy<(Weight[], RowPlace[])> TurnedRows() => new(() => ([.. _parts.Select(p => p.Tensor.Load(p.Expert))], Places()));

    public override bool HasColumnOrder => _stored.HasColumnOrder;

    public override IReadOnlyList<MatrixName> Matrices => [.. _parts.Select(p => new MatrixName(MatrixName.ModuleOf(p.Tensor.Name), p.Expert))];

    public override RowPlace[] Places()
    {
        var places = new RowPlace[Rows];
        for (int matrix = 0; matrix < _parts.Length; matrix++)
            for (int row = 0; row < _parts[matrix].Tensor.Rows; row++)
                places[_parts[matrix].Tensor.StoredRow(_parts[matrix].Expert, row)] = new RowPlace(matrix, row);
        return places;
    }

    public override void ReadRow(int row, Span<float> weights)
    {
        if (!IsTurned)
        {
            Stored.ReadRow(row, weights);
            return;
        }
        (Weight[] matrices, RowPlace[] places) = _turnedRows.Value;
        matrices[places[row].Matrix].ReadRow(places[row].Row, weights);
    }

    public override TensorInfo Output(Format format) => Keeps(format) ? _stored : TensorInfo.Of(_stored.Name, format, Info.Shape);

    public override bool TryCopy(Format format, TensorWriter writer)
    {
        if (!Keeps(format)) return false;
        writer.Write(StoredFormat.Shared.Span);
        if (_file is MappedTensors) writer.Copy(_file, _stored);
        else
            for (int r = 0; r < Stored.Rows; r++) writer.Write(Stored.Row(r));
        Release(0, Rows);
        return true;
    }

    /// <summary>Whether the output has the stored bytes; floats are not turned.</summary>
    private bool Keeps(Format format) => (format.Name == StoredFormat.Name && !HasColumnOrder) || (IsTurned && format.BlockSize == 1);

    public override void Release(int since, int row)
    {
        if (row == Rows) (_weight, _turnedRows) = (null, TurnedRows());
        long rowBytes = _stored.Bytes / Rows;
        _file.Advise(_stored, since * rowBytes, (row - since) * rowBytes, MemoryAdvice.DontNeed);
    }
}
