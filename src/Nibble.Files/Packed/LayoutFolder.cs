using System.Text.Json;
using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Files.Safetensors;

namespace Nibble.Files.Packed;

/// <summary>Writes a folder of ours in another program's layout, tensor by tensor, without rounding anything.</summary>
public static class LayoutFolder
{
    private const string Weight = ".weight";

    /// <param name="from">A folder that <see cref="PackedWriter"/> wrote.</param>
    /// <param name="to">The folder to write.</param>
    /// <exception cref="UnusableInputException">The layout cannot hold a tensor, or the folder cannot be written.</exception>
    public static void Write(string from, string to, WrittenLayout layout, bool force)
    {
        using TensorFile source = TensorFile.Open(from);
        Format format = Check(from, source.Tensors.Where(IsPacked), layout);
        using var folder = new OutputFolder(to, force);
        File.WriteAllBytes(folder.PathOf("config.json"), PackedConfig.Write(from, json =>
        {
            json.WriteString("quant_method", layout.Name);
            layout.WriteConfig(json, format);
        }));
        foreach (string file in Directory.EnumerateFiles(from).Where(f => Path.GetExtension(f) != ".safetensors" && Path.GetFileName(f) != "config.json")) folder.Copy(file);
        using (var ours = new SafetensorsFile(Path.Combine(from, SafetensorsFolder.SingleFile)))
        using (var writer = new SafetensorsWriter(folder.PathOf(SafetensorsFolder.SingleFile), [.. source.Tensors.SelectMany(t => Parts(t, layout))], ours.Metadata))
        {
            foreach (TensorInfo tensor in source.Tensors) Write(source, tensor, layout, writer);
            writer.Commit();
        }
        folder.Commit();
    }

    private static void Write(TensorFile source, TensorInfo tensor, WrittenLayout layout, SafetensorsWriter writer)
    {
        if (!IsPacked(tensor)) writer.Copy(source, tensor);
        else foreach (byte[] part in layout.Pack(source.Load(tensor))) writer.Write(part);
        source.Advise(tensor, MemoryAdvice.DontNeed);
    }

    private static IEnumerable<TensorInfo> Parts(TensorInfo tensor, WrittenLayout layout) => IsPacked(tensor)
        ? layout.Parts(tensor.Name[..^Weight.Length], tensor.Format!, tensor.Rows, tensor.Columns) : [tensor];

    private static bool IsPacked(TensorInfo tensor) => tensor.Format is not null && SafetensorsType.FormatOf(tensor.Type) is null;

    /// <summary>The one format of all quantized tensors.</summary>
    /// <param name="place">The model, for messages.</param>
    /// <exception cref="UnusableInputException">The layout cannot hold one of them.</exception>
    public static Format Check(string place, IEnumerable<TensorInfo> quantized, WrittenLayout layout)
    {
        TensorInfo? first = null;
        foreach (TensorInfo tensor in quantized)
        {
            first ??= tensor;
            string? why = layout.Refusal(tensor.Format!)
                ?? (tensor.Shape.Count != 2 || !tensor.Name.EndsWith(Weight, StringComparison.Ordinal) ? "holds the matrices of linear layers, no stacks of them" : null)
                ?? layout.Refusal(tensor.Format!, tensor.Rows, tensor.Columns)
                ?? (tensor.Format!.Name != first.Format!.Name ? $"has one format for all, and {Quote.Name(first.Name)} is {first.Format}" : null);
            if (why is not null) throw new UnusableInputException($"{place}: tensor {Quote.Name(tensor.Name)} would be {tensor.Format}, but the layout {layout.Name} {why}");
        }
        return first?.Format ?? throw new UnusableInputException($"{place}: no tensor is quantized, so there is nothing to lay out for {layout.Name}");
    }
}
