using Nibble.Core;
using Nibble.Core.Memory;
using Nibble.Files;
using Nibble.Models;
using Nibble.Quantization.Rotation;

namespace Nibble.Quantization.Evaluation;

/// <summary>
/// A tensor of a model beside the one of another model that it was made from, whatever files they come from: row r of the
/// model is row <see cref="ReferenceRow"/> of the reference.
/// </summary>
/// <remarks>Files keep queries and keys in different orders: GGUF's Llama turns neighbouring rows, Hugging Face's halves.</remarks>
public sealed class TensorPair
{
    private readonly ModelTensor _reference, _model;
    private readonly int[]? _order;

    private TensorPair(ModelTensor reference, ModelTensor model, int[]? order) => (_reference, _model, _order) = (reference, model, order);

    /// <summary>The decoder's name: <c>blk.0.attn_q</c>.</summary>
    public string Name => _model.Name[..^".weight".Length];

    /// <summary>Matrices in it; 1 where there are no experts.</summary>
    public int Experts => _model.Experts;

    public int Rows => _model.Rows;

    public int Columns => _model.Columns;

    public string Format => _model.Format.Name;

    /// <summary>Bytes the model stores of it; what several tensors share is counted by their weights.</summary>
    public long Bytes => _model.Format.RowBytes(Columns) * Rows * Experts;

    public Weight Model(int expert) => _model.Load(expert);

    public Weight Reference(int expert) => _reference.Load(expert);

    public int ReferenceRow(int row) => _order is null ? row : _order[row];

    /// <summary>The model's matrix with its rows in the reference's order, in the format it has.</summary>
    public Weight ModelAsReference(int expert)
    {
        Weight model = Model(expert);
        if (_order is null) return model;
        Weight turned = Weight.Allocate(model.Name, model.Format, model.Rows, model.Columns);
        for (int r = 0; r < model.Rows; r++) model.Row(r).CopyTo(turned.Row(_order[r]));
        return turned;
    }

    /// <summary>Every matrix of the model, in the order of its layers.</summary>
    /// <exception cref="UnusableInputException">The models are not made alike.</exception>
    public static IReadOnlyList<TensorPair> Of(ModelSource reference, ModelSource model)
    {
        string rotation = model.Note(ResidualRotation.Key), expected = reference.Note(ResidualRotation.Key);
        if (rotation != expected)
            throw new UnusableInputException(rotation.Length > 0
                ? $"{model.Path}: its residual stream is rotated ({rotation}), so weights and hidden states compare only with the rotated original; make that with 'nibble quantize {reference.Path} --to F32 --rotate -o ROTATED', and name it as the reference"
                : $"{reference.Path}: its residual stream is rotated ({expected}), and that of {model.Path} is not; name the original that it was made from as the reference");
        Check(reference, model, "layers", reference.Config.Layers.Count, model.Config.Layers.Count);
        Check(reference, model, "numbers a token between layers", reference.Config.Hidden, model.Config.Hidden);
        Check(reference, model, "tokens in its vocabulary", reference.Config.Vocabulary, model.Config.Vocabulary);
        Dictionary<string, ExportTensor> referenceRows = Exported(reference), modelRows = Exported(model);
        var pairs = new List<TensorPair>();
        foreach (ModelTensor tensor in model.Tensors.Values)
        {
            if (tensor.IsVector || !tensor.Name.EndsWith(".weight", StringComparison.Ordinal)) continue;
            if (!reference.Tensors.TryGetValue(tensor.Name, out ModelTensor? other)
                || (other.Experts, other.Rows, other.Columns) != (tensor.Experts, tensor.Rows, tensor.Columns))
                throw new UnusableInputException(
                    $"{model.Path}: tensor {Quote.Name(tensor.Name)} is not in {reference.Path} in the same shape; a model can only be compared with what it was made from");
            int[]? order = referenceRows.TryGetValue(tensor.Name, out ExportTensor? from) && modelRows.TryGetValue(tensor.Name, out ExportTensor? to)
                ? Order(from, to, tensor.Rows) : null;
            pairs.Add(new TensorPair(other, tensor, order));
        }
        return pairs;
    }

    private static void Check(ModelSource reference, ModelSource model, string what, int expected, int found)
    {
        if (expected != found)
            throw new UnusableInputException(
                $"{model.Path} has {found} {what} and {reference.Path} {expected}; a model can only be compared with what it was made from");
    }

    /// <summary>The tensors under the decoder's names, with their rows in llama.cpp's order: an order that both files know.</summary>
    private static Dictionary<string, ExportTensor> Exported(ModelSource source) =>
        source.GgufTensors().Where(t => !t.IsVector).GroupBy(t => t.ModelName).ToDictionary(g => g.Key, g => g.First());

    /// <summary>Of each row of the model's matrix the row of the reference's; null if they are the same.</summary>
    private static int[]? Order(ExportTensor reference, ExportTensor model, int rows)
    {
        var order = new int[rows];
        bool same = true;
        // All experts are ordered alike, so the first tells.
        for (int r = 0; r < rows; r++)
        {
            (int from, int to) = (model.Place(r).Row, reference.Place(r).Row);
            order[from] = to;
            same &= from == to;
        }
        return same ? null : order;
    }
}
