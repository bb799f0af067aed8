using System.Globalization;
using System.Runtime.InteropServices;
using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Files;
using Nibble.Files.Safetensors;
using Nibble.Quantization.Reports;
using TorchSharp;
using static TorchSharp.torch;

namespace Nibble.Training;

/// <summary>
/// The whole state of a run in one safetensors file: what is trained, the optimizer's moments, the best so far, and in the
/// metadata where the run is and what it was told. It is written beside its place first, so a killed run leaves the one
/// before.
/// </summary>
internal static class Checkpoint
{
    private const string StepKey = "step", SecondsKey = "seconds", BestKey = "best", BestStepKey = "best_step", StaleKey = "stale", FirstKey = "first", LossSumKey = "loss_sum";

    public static void Write(string path, IReadOnlyDictionary<string, Tensor> tensors, TrainingState state, IReadOnlyDictionary<string, string> identity)
    {
        var metadata = new Dictionary<string, string>(identity)
        {
            [StepKey] = Text(state.Step),
            [SecondsKey] = Text(state.Seconds),
            [BestKey] = Text(state.Best),
            [BestStepKey] = Text(state.BestStep),
            [StaleKey] = Text(state.Stale),
            [FirstKey] = Text(state.First),
            [LossSumKey] = Text(state.LossSum),
            [LossCurve.Key] = LossCurve.Write(state.Curve),
        };
        TensorInfo[] infos = [.. tensors.Select(t => TensorInfo.Of(t.Key, FloatFormat.F32, [t.Value.numel()]))];
        using var writer = new SafetensorsWriter(path, infos, metadata, force: true);
        foreach (Tensor tensor in tensors.Values) writer.Write(MemoryMarshal.AsBytes<float>(FloatMatrix.Floats(tensor)));
        writer.Commit();
    }

    /// <summary>Reads a checkpoint into the tensors of a run that was set up alike.</summary>
    /// <exception cref="UnusableInputException">It is missing or damaged, or of a run that was told otherwise.</exception>
    public static TrainingState Read(string path, IReadOnlyDictionary<string, Tensor> tensors, IReadOnlyDictionary<string, string> identity)
    {
        using var file = new SafetensorsFile(path);
        foreach ((string option, string value) in identity)
            if (file.Metadata.GetValueOrDefault(option) is var found && found != value)
                throw new UnusableInputException($"{path}: was made with {option} '{found}', not '{value}'; resume with the same, or delete it");
        using var off = no_grad();
        foreach ((string name, Tensor tensor) in tensors) Load(file, name, tensor);
        return new TrainingState
        {
            Step = (long)Number(file, StepKey),
            Seconds = Number(file, SecondsKey),
            Best = Number(file, BestKey),
            BestStep = (long)Number(file, BestStepKey),
            Stale = (int)Number(file, StaleKey),
            First = Number(file, FirstKey),
            LossSum = Number(file, LossSumKey),
            Curve = LossCurve.Read(file.Metadata.GetValueOrDefault(LossCurve.Key, ""), path),
        };
    }

    private static void Load(SafetensorsFile file, string name, Tensor to)
    {
        if (file.Find(name) is not { } info || info.Elements != to.numel() || info.Type != "F32")
            throw new UnusableInputException($"{file.Path}: has no tensor '{name}' of {to.numel()} F32 numbers; it is of another model");
        var values = new float[info.Elements];
        Weight stored = file.Load(info);
        stored.ReadRow(0, values);
        using Tensor from = tensor(values, to.shape);
        to.copy_(from);
    }

    private static double Number(SafetensorsFile file, string key) =>
        file.Metadata.TryGetValue(key, out string? text) && double.TryParse(text, CultureInfo.InvariantCulture, out double number) ? number
            : throw new UnusableInputException($"{file.Path}: does not say its '{key}'; it is no checkpoint of a training run");

    private static string Text(double number) => number.ToString("R", CultureInfo.InvariantCulture);
}
