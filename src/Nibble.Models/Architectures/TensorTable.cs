using System.Globalization;
using Nibble.Core;
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
                    if (entry.Layers?.Invoke(config.Layers[l]) ?? true) table.Add(entry, l);
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
        bool perExpert = pattern.Contains("{e}", StringComparison.Ordinal);
        for (int e = 0; e < (perExpert ? shape.Experts : 1); e++)
        {
            string name = pattern.Replace("{e}", e.ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal);
            TensorInfo? found = Find(name);
            if (found is null && presence == Presence.Maybe) return;
            if (found is null)
                throw new UnusableInputException($"{_file.Path}: has no tensor {Quote.Name(name)}, which a model of architecture '{_config.Architecture}' needs");
            Check(found, entry, part, perExpert ? shape with { Experts = 1 } : shape);
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

    private void Check(TensorInfo tensor, TensorName entry, string part, (int Experts, int Rows, int Columns) shape)
    {
        bool vector = shape.Rows == 1, turned = _huggingFace && entry.Transposed && !vector;
        int shares = _huggingFace ? entry.Shares : 1;
        (long rows, long columns) = turned ? ((long)shape.Columns, (long)shape.Rows * shares)
            : vector ? (1L, (long)shape.Columns * shares) : ((long)shape.Rows * shares, (long)shape.Columns);
        bool right = vector ? tensor.Elements == shape.Experts * columns
            : tensor.Columns == columns && tensor.Elements == shape.Experts * rows * columns;
        if (!right)
        {
            string wanted = string.Join(", ", new[] { shape.Experts, rows, columns }.SkipWhile(n => n == 1));
            throw new UnusableInputException(
                $"{_file.Path}: tensor {Quote.Name(tensor.Name)} is [{string.Join(", ", tensor.Shape)}], but the configuration makes it [{wanted}]");
        }
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
