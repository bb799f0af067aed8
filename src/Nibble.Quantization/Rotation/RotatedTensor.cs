using Nibble.Core.Formats;
using Nibble.Files;

namespace Nibble.Quantization.Rotation;

/// <summary>Writes a row of weights; safe to call from several threads at once.</summary>
internal delegate void RowReader(int row, Span<float> weights);

/// <summary>A tensor with other numbers, which are not rounded: all else is that of the tensor it is made from.</summary>
internal sealed class RotatedTensor : SourceTensor
{
    private readonly SourceTensor _inner;
    private readonly RowReader _read;
    private readonly string? _stored;

    /// <param name="read">Its rows.</param>
    public RotatedTensor(SourceTensor inner, RowReader read) : this(inner, read, inner.Info.Name, null) { }

    private RotatedTensor(SourceTensor inner, RowReader read, string name, string? stored)
        : base(TensorInfo.Of(name, FloatFormat.F32, inner.Info.Shape), inner.StoredFormat) => (_inner, _read, _stored) = (inner, read, stored);

    /// <param name="name">llama.cpp's.</param>
    /// <param name="stored">Its name in the output.</param>
    public static RotatedTensor Renamed(SourceTensor inner, RowReader read, string name, string stored) => new(inner, read, name, stored);

    public override float Offset => _inner.Offset;
    public override int Rows => _inner.Rows;
    public override int Columns => _inner.Columns;
    public override bool IsTurned => _inner.IsTurned;
    public override bool HasColumnOrder => _inner.HasColumnOrder;
    public override IReadOnlyList<MatrixName> Matrices => _stored is null ? _inner.Matrices : [new MatrixName(MatrixName.ModuleOf(Info.Name))];
    public override RowPlace[] Places() => _inner.Places();
    public override void ReadRow(int row, Span<float> weights) => _read(row, weights);
    public override TensorInfo Output(Format format) => TensorInfo.Of(_stored ?? _inner.Output(format).Name, format, Info.Shape);
    public override bool TryCopy(Format format, TensorWriter writer) => false;
    public override void Release(int since, int row) => _inner.Release(since, row);
}
