using Nibble.Core;
using Nibble.Core.Memory;
using Nibble.Files;

namespace Nibble.Models;

/// <summary>The tensors of a multimodal checkpoint's text part, under the names they have in a model that only reads.</summary>
internal sealed unsafe class TextTensors : TensorFile
{
    /// <summary>What stands before the names of the text part, and what they have in its place.</summary>
    private static readonly (string Stored, string Ours)[] Prefixes =
        [("language_model.model.", "model."), ("language_model.lm_head.", "lm_head."), ("model.language_model.", "model.")];

    private static readonly string[] OtherParts =
        ["vision_tower.", "vision_model.", "multi_modal_projector.", "image_newline", "model.vision_tower.", "model.multi_modal_projector.", "model.image_newline"];

    private readonly TensorFile _file;
    private readonly Dictionary<string, (TensorInfo Ours, TensorInfo Stored)> _tensors = [];

    /// <param name="file">Disposed with this.</param>
    public TextTensors(TensorFile file)
    {
        _file = file;
        var tensors = new List<TensorInfo>();
        foreach (TensorInfo stored in file.Tensors)
        {
            if (OtherParts.Any(part => stored.Name.StartsWith(part, StringComparison.Ordinal))) continue;
            TensorInfo ours = stored with { Name = NameOf(stored.Name) };
            if (!_tensors.TryAdd(ours.Name, (ours, stored)))
                throw new UnusableInputException($"{file.Path}: has two tensors for {Quote.Name(ours.Name)}");
            tensors.Add(ours);
        }
        Tensors = tensors;
        int left = file.Tensors.Count - tensors.Count;
        Notices = [.. file.Notices, .. left == 0 ? Array.Empty<string>() : [$"{file.Path}: {left} tensors of the part that sees are left out; only text is read"]];
    }

    public override string Path => _file.Path;

    public override IReadOnlyList<string> Files => _file.Files;

    public override IReadOnlyList<string> Notices { get; }

    public override IReadOnlyList<TensorInfo> Tensors { get; }

    public override TensorInfo? Find(string name) => _tensors.TryGetValue(name, out var tensor) ? tensor.Ours : null;

    public override byte* Data(TensorInfo tensor) => _file.Data(_tensors[tensor.Name].Stored);

    public override Weight Load(TensorInfo tensor) => _file.Load(_tensors[tensor.Name].Stored);

    public override Weight Load(TensorInfo tensor, int firstRow, int rows) => _file.Load(_tensors[tensor.Name].Stored, firstRow, rows);

    public override void Advise(TensorInfo tensor, long offset, long bytes, MemoryAdvice advice) =>
        _file.Advise(_tensors[tensor.Name].Stored, offset, bytes, advice);

    public override void Dispose() => _file.Dispose();

    private static string NameOf(string stored)
    {
        foreach ((string prefix, string ours) in Prefixes)
            if (stored.StartsWith(prefix, StringComparison.Ordinal)) return ours + stored[prefix.Length..];
        return stored;
    }
}
