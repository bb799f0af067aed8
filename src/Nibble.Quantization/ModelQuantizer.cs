using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Files;
using Nibble.Files.Gguf;
using Nibble.Files.Packed;
using Nibble.Quantization.Calibration;
using Nibble.Quantization.Methods;
using Nibble.Quantization.Recipes;

namespace Nibble.Quantization;

/// <summary>How a model is quantized, beyond its plan.</summary>
public sealed record QuantizeOptions
{
    /// <summary>How dynamic ranges are chosen; null is each format's own way.</summary>
    public DynamicRange? Range { get; init; }

    /// <summary>Whether an existing output may be replaced.</summary>
    public bool Force { get; init; }

    /// <summary>Whether to go on where a run with the same model and settings was stopped, and to keep what is written if this one is.</summary>
    public bool Resume { get; init; }

    /// <summary>Quantizes the linear layers by a calibrated method; null rounds everything to nearest.</summary>
    public LayerQuantizer? Calibrated { get; init; }

    /// <summary>Whether scales and minimums are solved by <see cref="Methods.Hqq"/>, where a format has them.</summary>
    public bool Hqq { get; init; }

    /// <summary>How much each column matters, where it was measured before; nearest rounding chooses its scales by it.</summary>
    public ImportanceMatrix? Importance { get; init; }

    /// <summary>What the bits were chosen by, to be written into the file: <c>text=9f86d081884c7d65 chunks=64</c>; null for the weights alone.</summary>
    public string? CalibratedOn { get; init; }

    /// <summary>Told the stored bytes that were read so far.</summary>
    public Action<long>? Progress { get; init; }
}

/// <summary>What became of one tensor.</summary>
/// <param name="Plan">What was to become of it.</param>
/// <param name="Method">What chose its bits: <c>nearest</c>, <c>gptq</c>; or that it was copied.</param>
/// <param name="Error">How far the stored weights are from the model's.</param>
public sealed record QuantizedTensor(PlannedTensor Plan, string Method, RoundingError Error);

/// <summary>
/// Quantizes a model into a GGUF file or a folder of safetensors, tensor by tensor: rows go from the mapped source through
/// the workers into the file, so memory does not grow with the model.
/// </summary>
public sealed class ModelQuantizer(QuantizationSource source, WorkerPool pool)
{
    /// <summary>The plan of a recipe for this model.</summary>
    /// <param name="recipe">Which tensor gets which format.</param>
    /// <param name="options">Where the plan departs from it.</param>
    /// <param name="allowRequantize">Whether weights that are quantized already may be quantized again.</param>
    /// <param name="hasImportance">Whether it will be known how much each column matters, on which some recipes' formats depend.</param>
    /// <exception cref="UnusableInputException">The plan cannot be made, or would quantize again what is quantized already.</exception>
    public QuantizationPlan Plan(Recipe recipe, PlanOptions options, bool allowRequantize, bool hasImportance = false)
    {
        QuantizationPlan plan = QuantizationPlan.Make(recipe, [.. source.Tensors.Select(t => t.Info)], source.Traits(hasImportance), options);
        plan = plan with { Tensors = [.. source.Tensors.Zip(plan.Tensors, Unturned)] };
        if (!source.IsForFolder && plan.Tensors.Where(t => t.Format.GgufType is null).OrderBy(t => t.Format.Name != recipe.Default).FirstOrDefault() is { } strange)
            throw new UnusableInputException(
                $"{source.Output}: GGUF has no type for {strange.Format}, in which tensor {Quote.Name(strange.Tensor.Name)} shall be stored; name a folder, as in output {Path.ChangeExtension(source.Output, null)}")
            { Argument = "output" };
        if (!allowRequantize && Requantized(plan).FirstOrDefault() is { } again)
            throw new UnusableInputException(
                $"{source.Path}: tensor {Quote.Name(again.Info.Name)} is quantized to {again.StoredFormat} already; take the original model, or accept a worse one with {nameof(allowRequantize)}")
            { Argument = nameof(allowRequantize) };
        return plan;
    }

    /// <summary>A matrix that is stored with inputs as rows keeps its floats where it would get others: only what is quantized is turned.</summary>
    private static PlannedTensor Unturned(SourceTensor tensor, PlannedTensor planned) =>
        tensor.IsTurned && planned.Format.Family == FormatFamily.Float && tensor.StoredFormat.Family == FormatFamily.Float
            ? planned with { Format = tensor.StoredFormat } : planned;

    /// <summary>The tensors that a plan quantizes for the second time.</summary>
    public IEnumerable<SourceTensor> Requantized(QuantizationPlan plan) =>
        source.Tensors.Zip(plan.Tensors, (tensor, planned) => (Tensor: tensor, Planned: planned))
            .Where(p => p.Tensor.StoredFormat.Family != FormatFamily.Float && (p.Planned.Format.Name != p.Tensor.StoredFormat.Name || p.Tensor.HasColumnOrder))
            .Select(p => p.Tensor);

    /// <summary>The exact length, in bytes, of the file of weights that a plan makes.</summary>
    public long FileBytes(QuantizationPlan plan, QuantizeOptions options, string path) => QuantizationSource.IsFolder(path)
        ? PackedWriter.LengthOf(path, Outputs(plan), Provenance.DescribeFolder(source, plan, options, hash: false))
        : GgufWriter.LengthOf(path, Provenance.Describe(source, plan, options, path, Provenance.Fingerprint(source.Origin)), Outputs(plan));

    /// <summary>Carries out a plan.</summary>
    /// <param name="path">The GGUF file or the folder to write.</param>
    /// <param name="plan">Made for this source.</param>
    /// <param name="options">How its formats are filled.</param>
    /// <param name="cancellation">Whatever was written is deleted when it is cancelled, unless it is to be resumed.</param>
    /// <returns>What became of each tensor, in the plan's order.</returns>
    /// <exception cref="UnusableInputException">The output cannot be written or exists already, or a weight is not finite.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    /// <exception cref="ArgumentException">The plan is another model's, or the source was opened for the other kind of output.</exception>
    public IReadOnlyList<QuantizedTensor> Write(string path, QuantizationPlan plan, QuantizeOptions options, CancellationToken cancellation)
    {
        if (QuantizationSource.IsFolder(path) != source.IsForFolder)
            throw new ArgumentException($"{path}: the source was opened for a {(source.IsForFolder ? "folder" : "GGUF file")}; name such an output when it is opened", nameof(path));
        CheckFits(plan);
        if (QuantizationSource.IsFolder(path))
        {
            if (options.Resume) throw new UnusableInputException($"{path}: only a .gguf file can be resumed; a folder is written anew");
            OutputFolder.CheckFree(path, options.Force);
            using var folder = new PackedWriter(path, source.Folder, Outputs(plan), Provenance.DescribeFolder(source, plan, options, hash: true), options.Force, source.UntiesHead);
            IReadOnlyList<QuantizedTensor> results = WriteAll(folder.Tensors, plan, options, cancellation);
            folder.Commit();
            return results;
        }
        OutputFile.CheckFree(path, options.Force);
        // The source is hashed beside the work; until that is done, what is known of its files stands in the header.
        Task<string> hash = Task.Run(() => Provenance.Hash(source.Origin), cancellation);
        GgufMetadata Describe(string sourceHash) => Provenance.Describe(source, plan, options, path, sourceHash);
        using var file = new GgufWriter(path, Describe(Provenance.Fingerprint(source.Origin)), Outputs(plan), options.Force, options.Resume,
            final: () => Describe(hash.GetAwaiter().GetResult()));
        IReadOnlyList<QuantizedTensor> written = WriteAll(file, plan, options, cancellation);
        file.Commit();
        return written;
    }

    /// <summary>Tensors and plan are taken side by side, so that the plan of another model would leave some out.</summary>
    private void CheckFits(QuantizationPlan plan)
    {
        if (!plan.Tensors.Select(t => t.Tensor.Name).SequenceEqual(source.Tensors.Select(t => t.Info.Name)))
            throw new ArgumentException($"the plan is of other tensors than {source.Path} has; make it for this model", nameof(plan));
    }

    private List<QuantizedTensor> WriteAll(TensorWriter writer, QuantizationPlan plan, QuantizeOptions options, CancellationToken cancellation)
    {
        using var nearest = new Nearest(pool) { Solves = options.Hqq };
        try
        {
            return WriteTensors(plan, writer, nearest, options, cancellation);
        }
        catch when (options.Resume)
        {
            writer.Keep();
            throw;
        }
    }

    private List<QuantizedTensor> WriteTensors(
        QuantizationPlan plan, TensorWriter writer, Nearest nearest, QuantizeOptions options, CancellationToken cancellation)
    {
        var results = new List<QuantizedTensor>();
        int resumed = writer.Finished;
        long read = 0;
        foreach ((SourceTensor tensor, PlannedTensor planned) in source.Tensors.Zip(plan.Tensors))
        {
            results.Add(results.Count < resumed
                ? new QuantizedTensor(planned, "resumed", ResumedTensor.Take(tensor, planned, results.Count, writer, options.Calibrated, cancellation))
                : Write(tensor, planned, writer, nearest, options, read, cancellation));
            read += tensor.StoredBytes;
            options.Progress?.Invoke(read);
        }
        foreach (TensorInfo unchanged in source.Unchanged) source.Copy(unchanged, writer);
        return results;
    }

    /// <summary>The bytes that <see cref="QuantizeOptions.Progress"/> will have counted at the end.</summary>
    public long StoredBytesOfAll => source.Tensors.Sum(t => t.StoredBytes);

    private List<TensorInfo> Outputs(QuantizationPlan plan) =>
        [.. source.Tensors.Zip(plan.Tensors, (tensor, planned) => tensor.Output(planned.Format)), .. source.Unchanged];

    private static QuantizedTensor Write(
        SourceTensor tensor, PlannedTensor planned, TensorWriter writer, Nearest nearest, QuantizeOptions options, long before,
        CancellationToken cancellation)
    {
        FoldedScales? folded = options.Calibrated?.FoldedInto(tensor.Matrices, cancellation);
        if (folded?.HoldNorm(tensor) == true) return new QuantizedTensor(planned, options.Calibrated!.Method, WriteNorm(tensor, planned.Format, folded, writer));
        if (tensor.TryCopy(planned.Format, writer)) return new QuantizedTensor(planned, "copied", default);
        if (planned.Format.Family != FormatFamily.Float && options.Calibrated?.Take(tensor.Matrices, cancellation) is { } made)
            return new QuantizedTensor(planned, options.Calibrated.Method, Write(tensor, made, folded, writer));
        float[] importance = planned.Format.Family == FormatFamily.Float ? [] : options.Importance?.For(tensor)?.MeanSquares() ?? [];
        // Learning a table counts for half of the work on a tensor.
        bool learns = planned.Format.SharedBytes > 0;
        double half = learns ? tensor.StoredBytes / 2.0 : 0, each = (tensor.StoredBytes - half) / tensor.Rows;
        Format format = !learns ? planned.Format.ForColumns(tensor.Columns) : nearest.Learn(
            tensor.Info.Name, tensor, planned.Format, options.Range, importance, share => options.Progress?.Invoke(before + (long)(share * half)), cancellation);
        writer.Write(format.Shared.Span);
        RoundingError error = nearest.Quantize(tensor.Info.Name, tensor, format, options.Range, importance, (bytes, first, rows) =>
        {
            writer.Write(bytes);
            tensor.Release(first, first + rows);
            options.Progress?.Invoke(before + (long)(half + (first + rows) * each));
        }, cancellation);
        return new QuantizedTensor(planned, options.Hqq && Hqq.Suits(format) ? Hqq.Word : importance.Length > 0 ? ImportanceRounding.Word : "nearest", error);
    }

    private static RoundingError WriteNorm(SourceTensor tensor, Format format, FoldedScales folded, TensorWriter writer)
    {
        float[] numbers = new float[tensor.Columns], decoded = new float[tensor.Columns];
        var bytes = new byte[format.RowBytes(tensor.Columns)];
        tensor.ReadRow(0, numbers);
        folded.Apply(tensor, default, numbers);
        format.Encode(numbers, default, bytes);
        format.Decode(bytes, decoded);
        writer.Write(bytes);
        var sum = new RoundingSum(format, 1, tensor.Columns);
        sum.Add(0, numbers, bytes, decoded);
        return sum.Result;
    }

    /// <summary>Writes matrices that were quantized in the decoder's order, in the file's.</summary>
    private static RoundingError Write(SourceTensor tensor, IReadOnlyList<Weight> made, FoldedScales? folded, TensorWriter writer)
    {
        var original = new float[tensor.Columns];
        var decoded = new float[tensor.Columns];
        writer.Write(made[0].Format.Shared.Span);
        RowPlace[] places = tensor.Places();
        var sum = new RoundingSum(made[0].Format, tensor.Rows, tensor.Columns);
        for (int r = 0; r < tensor.Rows; r++)
        {
            (int matrix, int row) = places[r];
            writer.Write(made[matrix].Row(row));
            made[matrix].ReadRow(row, decoded);
            tensor.ReadRow(r, original);
            folded?.Apply(tensor, places[r], original);
            sum.Add(r, original, made[matrix].Row(row), decoded);
        }
        tensor.Release(0, tensor.Rows);
        return sum.Result;
    }
}
