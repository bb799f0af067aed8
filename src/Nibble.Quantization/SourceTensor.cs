using Nibble.Core.Formats;
using Nibble.Files;
using Nibble.Files.Gguf;
using Nibble.Models;
using Nibble.Quantization.Recipes;

namespace Nibble.Quantization;

/// <summary>A tensor as it will be written: under its GGUF name, its rows in GGUF's order, read one by one as float32.</summary>
public sealed class SourceTensor : IWeightSource
{
    private readonly TensorFile _file;
    private readonly ExportTensor _tensor;

    internal SourceTensor(TensorFile file, ExportTensor tensor)
    {
        (_file, _tensor) = (file, tensor);
        StoredFormat = tensor.Source?.Format ?? (tensor.Stored.Count > 0 ? tensor.Stored[0].Format! : FloatFormat.F32);
        // llama.cpp wants everything that is not quantized in float32; what a GGUF file holds, it holds for a reason.
        Format kept = file is GgufFile ? StoredFormat : FloatFormat.F32;
        Info = TensorRoles.IsQuantizable(tensor.Name, tensor.Shape.Count)
            ? TensorInfo.Of(tensor.Name, StoredFormat, tensor.Shape) : TensorInfo.Of(tensor.Name, kept, tensor.Shape);
    }

    /// <summary>Its GGUF name and shape, and the format it keeps where it is not quantized.</summary>
    public TensorInfo Info { get; }

    /// <summary>The decoder's name for it.</summary>
    public string ModelName => _tensor.ModelName;

    /// <summary>Which of the decoder's matrices a row belongs to, and which row of it it is.</summary>
    public (int Expert, int Row) Place(int row) => _tensor.Place(row);

    /// <summary>The format it is read from.</summary>
    public Format StoredFormat { get; }

    /// <summary>The bytes it is read from.</summary>
    public long StoredBytes => StoredFormat.RowBytes(Columns) * Rows;

    /// <summary>The experts whose matrices it holds; 1 where it is one matrix.</summary>
    public int Experts => Info.Shape.Count == 3 ? (int)Info.Shape[0] : 1;

    public int Rows => _tensor.Rows;

    public int Columns => _tensor.Columns;

    public void ReadRow(int row, Span<float> weights) => _tensor.ReadRow(row, weights);

    /// <summary>Copies the data unchanged, if the stored bytes are those that GGUF wants; else false.</summary>
    public bool TryCopy(TensorWriter writer)
    {
        if (_file is GgufFile)
        {
            writer.Copy(_file, _tensor.Stored[0]);
            return true;
        }
        // Floats pass through the rounding to their own format, which finds those that are not finite.
        if (StoredFormat.Family == FormatFamily.Float || _tensor.IsVector || HasColumnOrder) return false;
        for (int r = 0; r < Rows; r++) writer.Write(_tensor.Row(r));
        return true;
    }

    /// <summary>True if the columns of its blocks are in another order than the input's, which no file of ours can say.</summary>
    public bool HasColumnOrder => _tensor.Stored.Any(t => t.HasColumnOrder);

    /// <summary>Says that all rows before this one will not be read again, so that their pages need not stay in memory.</summary>
    /// <param name="since">Where the last call ended.</param>
    public void Release(int since, int row)
    {
        if (_tensor.Stored is [var whole] && whole.Rows == Rows)
        {
            long rowBytes = whole.Bytes / Rows;
            _file.Advise(whole, since * rowBytes, (row - since) * rowBytes, MemoryAdvice.DontNeed);
            return;
        }
        // Experts stored one by one, or a tensor that holds several of ours.
        int parts = _tensor.Stored.Count, each = Rows / Math.Max(parts, 1);
        for (int part = since / each; part < parts && (part + 1) * each <= row; part++)
            _file.Advise(_tensor.Stored[part], MemoryAdvice.DontNeed);
    }
}
