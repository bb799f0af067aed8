using System.Globalization;
using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Files;

namespace Nibble.Models.Architectures;

/// <summary>
/// Finds the tensors of a configuration in a checkpoint and checks their shapes; no data is read. What is missing, of
/// another shape, or left over is an error that names it.
/// </summary>
internal sealed class TensorTable
{
    private readonly TensorFile _file;
    private readonly Architecture _architecture;
    private readonly ModelConfig _config;
    private readonly bool _huggingFace;
    private readonly HashSet<string> _used = [];
    private readonly Dictionary<string, ModelTensor> _tensors = [];

    private TensorTable(TensorFile file, Architecture architecture, ModelConfig config, bool huggingFace) =>
        (_file, _architecture, _config, _huggingFace) = (file, architecture, config, huggingFace);

    public static Dictionary<string, ModelTensor> Resolve(TensorFile file, Architecture architecture, ModelConfig config, bool huggingFace)
    {
        var table = new TensorTable(file, architecture, config, huggingFace);
        foreach (TensorName entry in architecture.Tensors(config))
        {
            if (!entry.Name.Contains("{l}", StringComparison.Ordinal)) table.Add(entry, null);
            else
                for (int l = 0; l < config.Layers.Count; l++)
                    if (entry.Layers?.Invoke(l) ?? true) table.Add(entry, l);
        }
        table.RefuseLeftOver();
        return table._tensors;
    }

    private void Add(TensorName entry, int? layer)
    {
        string module = entry.Name[(entry.Name.LastIndexOf('.') + 1)..];
        (int experts, int rows, int columns) = TensorShapes.Of(module, _config);
        Add(entry, layer, "weight", entry.Weight, (experts, rows, columns));
        Add(entry, layer, "bias", entry.Bias, rows == 1 ? (experts, 1, columns) : (experts, 1, rows));
    }

    private void Add(TensorName entry, int? layer, string part, Presence presence, (int Experts, int Rows, int Columns) shape)
    {
        if (presence == Presence.No) return;
        var stored = new List<TensorInfo>();
        string pattern = StoredName(entry, layer, part);
        (string place, int count) = pattern.Contains("{e}", StringComparison.Ordinal) ? ("{e}", shape.Experts)
            : pattern.Contains("{h}", StringComparison.Ordinal) ? ("{h}", shape.Columns / _config.HeadSize) : ("{e}", 1);
        for (int i = 0; i < count; i++)
        {
            string name = pattern.Replace(place, i.ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal);
            TensorInfo? found = Find(name);
            if (found is null && presence == Presence.Maybe) return;
            if (found is null)
                throw new UnusableInputException($"{_file.Path}: has no tensor {Quote.Name(name)}, which a model of architecture '{_config.Architecture}' needs");
            Check(found, StoredShape(entry, shape, count, place == "{h}", found.Format));
            _used.Add(found.Name);
            stored.Add(found);
        }
        string ours = $"{Layered(entry.Name, layer)}.{part}";
        _tensors.Add(ours, new ModelTensor(ours, entry, _config, _file, stored, shape, _huggingFace));
    }

    private string StoredName(TensorName entry, int? layer, string part)
    {
        if (!_huggingFace) return $"{Layered(entry.Gguf, layer)}.{part}";
        string module = Layered(entry.HuggingFace, layer);
        return !entry.Bare ? $"{module}.{part}" : part == "weight" ? module : $"{module}_bias";
    }

    private static string Layered(string pattern, int? layer) => layer is { } l
        ? pattern.Replace("{l}", l.ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal) : pattern;

    private TensorInfo? Find(string name)
    {
        if (_file.Find(name) is { } tensor) return tensor;
        string prefix = _architecture.Prefix;
        return _huggingFace && prefix.Length > 0 && name.StartsWith(prefix, StringComparison.Ordinal) ? _file.Find(name[prefix.Length..]) : null;
    }

    /// <summary>The shape that one stored tensor must have for a tensor of ours: rows and columns, one row for vectors.</summary>
    private (long Rows, long Columns) StoredShape(TensorName entry, (int Experts, int Rows, int Columns) shape, int tensors, bool byHead, Format? format)
    {
        long experts = tensors > 1 && !byHead ? 1 : shape.Experts, shares = _huggingFace ? entry.Shares : 1;
        if (byHead) return (1, shape.Columns / tensors);
        if (shape.Rows == 1) return (1, experts * shape.Columns * shares);
        if (!_huggingFace) return (experts * shape.Rows, shape.Columns);
        if (entry.Part is { } part) return (experts * part.Stride, entry.Transposed ? shape.Rows : shape.Columns);
        // A matrix in blocks holds outputs as rows, whatever the float one does.
        bool transposed = entry.Transposed && format?.BlockSize is null or 1;
        return transposed ? (experts * shape.Columns, shape.Rows * shares) : (experts * shape.Rows * shares, shape.Columns);
    }

    private void Check(TensorInfo tensor, (long Rows, long Columns) shape)
    {
        bool right = shape.Rows == 1 ? tensor.Elements == shape.Columns : tensor.Columns == shape.Columns && tensor.Rows == shape.Rows;
        if (!right)
            throw new UnusableInputException($"{_file.Path}: tensor {Quote.Name(tensor.Name)} is [{string.Join(", ", tensor.Shape)}], " +
                $"but the configuration makes it {(shape.Rows == 1 ? $"[{shape.Columns}]" : $"[{shape.Rows}, {shape.Columns}]")}");
        if (tensor.Format is null)
            throw new UnusableInputException($"{_file.Path}: tensor {Quote.Name(tensor.Name)} is of type {tensor.Type}, which holds no weights");
    }

    private void RefuseLeftOver()
    {
        foreach (TensorInfo tensor in _file.Tensors)
            if (!_used.Contains(tensor.Name) && !_architecture.Ignores(tensor.Name, _config))
                throw new UnusableInputException(
                    $"{_file.Path}: has a tensor {Quote.Name(tensor.Name)} that the architecture '{_config.Architecture}' has no place for");
    }
}
