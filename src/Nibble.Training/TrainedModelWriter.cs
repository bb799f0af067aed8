using System.Runtime.InteropServices;
using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Files;
using Nibble.Files.Gguf;
using Nibble.Files.Packed;
using Nibble.Models;
using Nibble.Models.Tokenizers;
using Nibble.Quantization;
using Nibble.Quantization.Calibration;
using Nibble.Quantization.Reports;
using Nibble.Training.Model;
using TorchSharp;
using static TorchSharp.torch;

namespace Nibble.Training;

/// <summary>
/// Writes what was trained, as <c>quantize</c> would: a GGUF file, or a folder with the matrices packed. Either means,
/// number for number, what the last forward pass saw.
/// </summary>
internal sealed class TrainedModelWriter
{
    private readonly ModelSource _source;
    private readonly Tokenizer? _tokenizer;
    private readonly TrainingOptions _options;

    /// <param name="tokenizer">For a GGUF file made of a Hugging Face folder.</param>
    /// <exception cref="UnusableInputException">The output is in the way or cannot hold the model.</exception>
    public TrainedModelWriter(ModelSource source, Tokenizer? tokenizer, TrainingOptions options)
    {
        (_source, _tokenizer, _options) = (source, tokenizer, options);
        if (IsGguf)
        {
            OutputFile.CheckFree(options.Output, options.Force);
            FormatPlan plan = FormatPlan.Of(source, options);
            foreach ((string name, Format format) in plan.Formats.OrderBy(f => f.Value.Name != plan.Name))
                if (format.GgufType is null)
                    throw new UnusableInputException($"{options.Output}: GGUF has no type for {format.Name}, in which '{name}' is trained; name a folder, or choose a format with a GGUF number ('nibble formats')");
            return;
        }
        OutputFolder.CheckFree(options.Output, options.Force);
        if (source.File is GgufFile)
            throw new UnusableInputException($"{options.Output}: a GGUF model is trained into a .gguf file; name one with -o, or start from the Hugging Face folder");
        foreach (ModelTensor tensor in source.Tensors.Values)
            if (!tensor.IsStoredAsIs)
                throw new UnusableInputException($"{options.Output}: the checkpoint stores '{tensor.Name}' fused or in another order, which training cannot write back; name a .gguf file");
    }

    private bool IsGguf => Path.GetExtension(_options.Output).Equals(".gguf", StringComparison.OrdinalIgnoreCase);

    /// <param name="curve">How training went, kept in the output.</param>
    /// <returns>Bytes of the weights in their formats.</returns>
    public long Write(TorchDecoder model, IReadOnlyList<LossPoint> curve)
    {
        Dictionary<string, Weight> encoded = model.Parts.Matrices.Values.ToDictionary(m => m.Name, m => m.Encode());
        if (IsGguf) WriteGguf(model.Parts, encoded, curve);
        else WriteFolder(model.Parts, encoded, curve);
        return encoded.Values.Sum(w => w.Bytes + w.Format.SharedBytes);
    }

    private void WriteFolder(ModelParts parts, Dictionary<string, Weight> encoded, IReadOnlyList<LossPoint> curve)
    {
        ModelTensor[] tensors = [.. _source.Tensors.Values];
        TensorInfo[] infos = [.. tensors.Select(t => TensorInfo.Of(t.Stored[0].Name, encoded.TryGetValue(t.Name, out Weight? w) ? w.Format : FloatFormat.F32, t.Stored[0].Shape))];
        var metadata = new Dictionary<string, string> { ["format"] = "pt", ["nibble.quantized_by"] = Provenance.Program, ["nibble.recipe"] = Recipe, [LossCurve.Key] = LossCurve.Write(curve) };
        if (parts.LearnedBounds(_options.Activations) is { } bounds) metadata[InputBounds.Key] = bounds.Write();
        using var folder = new PackedWriter(_options.Output, _source.Folder, infos, metadata, _options.Force);
        foreach (ModelTensor tensor in tensors)
            if (encoded.TryGetValue(tensor.Name, out Weight? weight)) WriteRows(folder.Tensors, weight, row => row);
            else WriteNumbers(folder.Tensors, Vector(parts, tensor).Select(v => v - tensor.Offset));
        folder.Commit();
    }

    /// <summary>What the output says it was made with.</summary>
    private string Recipe => _options.Head is { } head ? $"{_options.To} training head={head}" : $"{_options.To} training";

    private static void WriteRows(TensorWriter writer, Weight weight, Func<int, int> sourceOf)
    {
        writer.Write(weight.Format.Shared.Span);
        for (int row = 0; row < weight.Rows; row++) writer.Write(weight.Row(sourceOf(row)));
    }

    private void WriteGguf(ModelParts parts, Dictionary<string, Weight> encoded, IReadOnlyList<LossPoint> curve)
    {
        var metadata = new GgufMetadata(_options.Output);
        _source.WriteGgufMetadata(metadata);
        if (_source.File is not GgufFile) _tokenizer?.WriteTo(metadata, _source.Config.Vocabulary);
        metadata.Set("general.quantization_version", 2u);
        metadata.Set("general.quantized_by", Provenance.Program);
        metadata.Set("nibble.recipe", Recipe);
        metadata.Set(LossCurve.Key, LossCurve.Write(curve));
        if (parts.LearnedBounds(_options.Activations) is { } bounds) metadata.Set(InputBounds.Key, bounds.Write());
        ExportTensor[] tensors = [.. _source.GgufTensors()];
        TensorInfo[] infos = [.. tensors.Select(t => TensorInfo.Of(t.Name, Origin(t) is { } s && encoded.TryGetValue(s.Name, out Weight? w) ? w.Format : FloatFormat.F32, t.Shape))];
        using var writer = new GgufWriter(_options.Output, metadata, infos, _options.Force);
        foreach (ExportTensor tensor in tensors)
            if (Origin(tensor) is not { } source) WriteNumbers(writer, Numbers(tensor));
            else if (encoded.TryGetValue(source.Name, out Weight? weight)) WriteRows(writer, weight, tensor.SourceOf);
            else WriteNumbers(writer, Ordered(Vector(parts, source), tensor));
        writer.Commit();
    }

    /// <summary>The tensor of the model that a tensor of the file is, or null for one that llama.cpp alone wants.</summary>
    private ModelTensor? Origin(ExportTensor tensor) =>
        tensor.Source ?? _source.Tensors.Values.FirstOrDefault(t => tensor.Stored.Count > 0 && t.Stored[0].Name == tensor.Stored[0].Name);

    private static IEnumerable<float> Ordered(float[] vector, ExportTensor tensor) => Enumerable.Range(0, vector.Length).Select(i => vector[tensor.SourceOf(i)]);

    private static float[] Vector(ModelParts parts, ModelTensor tensor) => FloatMatrix.Floats(parts.Vectors[tensor.Name]);

    private static float[] Numbers(ExportTensor tensor)
    {
        var numbers = new float[tensor.Columns];
        tensor.ReadRow(0, numbers);
        return numbers;
    }

    private static void WriteNumbers(TensorWriter writer, IEnumerable<float> numbers) => writer.Write(MemoryMarshal.AsBytes<float>(numbers.ToArray()));
}
