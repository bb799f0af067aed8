using Nibble.Core.Formats;
using Nibble.Files;
using Nibble.Files.Gguf;
using Nibble.Models;
using Nibble.Quantization.Recipes;

namespace Nibble.Quantization;

/// <summary>A tensor for a GGUF file: under its name there, its rows in GGUF's order.</summary>
internal sealed class GgufSourceTensor(TensorFile file, ExportTensor tensor) : SourceTensor(Describe(file, tensor), StoredFormatOf(tensor))
{
    private static Format StoredFormatOf(ExportTensor tensor) =>
        tensor.Source?.Format ?? (tensor.Stored.Count > 0 ? tensor.Stored[0].Format! : FloatFormat.F32);

    private static TensorInfo Describe(TensorFile file, ExportTensor tensor)
    {
        // llama.cpp wants everything that is not quantized in float32; what a GGUF file holds, it holds for a reason.
        bool keeps = file is GgufFile || TensorRoles.IsQuantizable(tensor.Name, tensor.Shape.Count);
        return TensorInfo.Of(tensor.Name, keeps ? StoredFormatOf(tensor) : FloatFormat.F32, tensor.Shape);
    }

    public override int Rows => tensor.Rows;

    public override int Columns => tensor.Columns;

    public override IReadOnlyList<MatrixName> Matrices =>
        [.. Enumerable.Range(0, Experts).Select(expert => new MatrixName(MatrixName.ModuleOf(tensor.ModelName), expert))];

    public override RowPlace[] Places() => [.. Enumerable.Range(0, Rows).Select(Place)];

    private RowPlace Place(int row)
    {
        if (tensor.Source is null) return new RowPlace(row / (Rows / Experts), row % (Rows / Experts));
        (int expert, int own) = tensor.Place(row);
        return new RowPlace(expert, own);
    }

    public override void ReadRow(int row, Span<float> weights) => tensor.ReadRow(row, weights);

    public override TensorInfo Output(Format format) => TensorInfo.Of(Info.Name, format, Info.Shape);

    public override bool TryCopy(Format format, TensorWriter writer)
    {
        if (format.Name != StoredFormat.Name) return false;
        if (file is GgufFile)
        {
            writer.Copy(file, tensor.Stored[0]);
            return true;
        }
        // Floats pass through the rounding to their own format, which finds those that are not finite.
        if (StoredFormat.Family == FormatFamily.Float || tensor.IsVector || HasColumnOrder) return false;
        for (int r = 0; r < Rows; r++) writer.Write(tensor.Row(r));
        return true;
    }

    public override bool HasColumnOrder => tensor.Stored.Any(t => t.HasColumnOrder);

    public override void Release(int since, int row)
    {
        if (tensor.Stored is [var whole] && whole.Rows == Rows)
        {
            long rowBytes = whole.Bytes / Rows;
            file.Advise(whole, since * rowBytes, (row - since) * rowBytes, MemoryAdvice.DontNeed);
            return;
        }
        // Experts stored one by one, or a tensor that holds several of ours.
        int parts = tensor.Stored.Count, each = Rows / Math.Max(parts, 1);
        for (int part = since / each; part < parts && (part + 1) * each <= row; part++)
            file.Advise(tensor.Stored[part], MemoryAdvice.DontNeed);
    }
}
