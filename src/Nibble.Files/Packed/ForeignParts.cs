using Nibble.Core;

namespace Nibble.Files.Packed;

/// <summary>The tensors of a checkpoint while a layout sorts them: parts of packed weights, and the rest.</summary>
internal sealed class ForeignParts(MappedTensors file)
{
    private readonly Dictionary<string, ForeignTensor> _byFirstPart = [];
    private readonly HashSet<string> _used = [];
    private string? _first;

    /// <summary>What is not computed as the checkpoint says.</summary>
    public List<string> Notices { get; } = [];

    /// <summary>The stored names with this ending, without it.</summary>
    public IReadOnlyList<string> Before(string ending) =>
        [.. file.Tensors.Select(t => t.Name).Where(n => n.EndsWith(ending, StringComparison.Ordinal)).Select(n => n[..^ending.Length])];

    /// <summary>A part that the packed weight cannot do without.</summary>
    public ForeignPart Take(string name) => TakeIf(name)
        ?? throw new UnusableInputException($"{file.Path}: has {Quote.Name(_first ?? name)}, but not {Quote.Name(name)}, without which it means nothing");

    /// <summary>A part that may be there.</summary>
    public ForeignPart? TakeIf(string name)
    {
        if (file.Find(name) is not { } info) return null;
        _used.Add(name);
        _first ??= name;
        return new ForeignPart(file, info);
    }

    /// <summary>The type of a tensor, or null where there is none.</summary>
    public string? TypeOf(string name) => file.Find(name)?.Type;

    /// <summary>Puts a weight in the place of the parts that were taken since the last.</summary>
    /// <exception cref="UnusableInputException">Another weight was made of the first of these parts.</exception>
    public void Add(ForeignTensor tensor)
    {
        if (!_byFirstPart.TryAdd(_first!, tensor))
            throw new UnusableInputException($"{file.Path}: tensor {Quote.Name(_first!)} is packed in two ways, by the names of what stands beside it");
        _first = null;
    }

    /// <summary>Leaves out all tensors with these endings, and says so.</summary>
    public void LeaveOut(string what, params ReadOnlySpan<string> endings)
    {
        int count = 0;
        foreach (TensorInfo tensor in file.Tensors)
            foreach (string ending in endings)
                if (tensor.Name.EndsWith(ending, StringComparison.Ordinal) && _used.Add(tensor.Name)) count++;
        if (count > 0) Notices.Add($"{file.Path}: {count} tensors {what}");
    }

    /// <summary>All weights in the file's order: those that are stored as they are have no entry behind.</summary>
    public IEnumerable<(TensorInfo Info, ForeignTensor? Packed)> Tensors()
    {
        foreach (TensorInfo tensor in file.Tensors)
        {
            if (_byFirstPart.TryGetValue(tensor.Name, out ForeignTensor? packed)) yield return (packed.Info, packed);
            else if (!_used.Contains(tensor.Name)) yield return (tensor, null);
        }
    }
}
