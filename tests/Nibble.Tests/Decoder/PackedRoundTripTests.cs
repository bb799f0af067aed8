using System.Numerics.Tensors;
using Nibble.Core.Formats;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Quantization;
using Nibble.Quantization.Calibration;
using Nibble.Quantization.Methods;
using Nibble.Quantization.Recipes;
using Nibble.Tests.Files;
using Nibble.Tests.Golden;

namespace Nibble.Tests.Decoder;

/// <summary>
/// A packed folder of every architecture computes nearly what transformers does of the original: whatever the checkpoint fuses,
/// stacks or turns, rows and columns are found again, each tensor under one table.
/// </summary>
public sealed class PackedRoundTripTests : IDisposable
{
    private const string Fine = "Linear8-tensor-f32";

    private readonly TemporaryFolder _folder = new();
    private readonly WorkerPool _pool = new(1);

    public static TheoryData<string> Decoders => GoldenArchitectureTests.Decoders;

    [Theory, MemberData(nameof(Decoders))]
    public void Nearest_rounding(string name) => Check(name, calibrated: false);

    [Theory, MemberData(nameof(Decoders))]
    public void A_calibrated_method(string name) => Check(name, calibrated: true);

    private void Check(string name, bool calibrated)
    {
        string folder = GoldenCheckpoint.Folder(name), output = _folder.PathOf("packed");
        var golden = GoldenArchitecture.Read(folder);
        using (var source = new QuantizationSource(folder, output))
        using (ModelSource model = ModelSource.Open(folder))
        {
            var quantizer = new ModelQuantizer(source, _pool);
            QuantizationPlan plan = quantizer.Plan(Recipe.Parse(Fine), new PlanOptions { Pure = true }, allowRequantize: false);
            using LayerQuantizer? layers = calibrated ? Calibrate(model, source, plan, golden.InputIds) : null;
            IReadOnlyList<QuantizedTensor> written = quantizer.Write(output, plan, new QuantizeOptions { Calibrated = layers }, TestContext.Current.CancellationToken);
            Assert.Contains(written, t => t.Plan.Format.Name == Fine && t.Method == (calibrated ? "importance" : "nearest"));
        }
        using ModelSource packed = ModelSource.Open(output);
        using var decoder = new DecoderModel(packed, _pool);
        int vocabulary = decoder.Config.Vocabulary;
        float[] logits = GoldenArchitectureTests.AllLogits(decoder, golden.InputIds);
        float[] similar = [.. golden.Positions.Select((position, i) => TensorPrimitives.CosineSimilarity<float>(golden.Logits[i], logits.AsSpan(position * vocabulary, vocabulary)))];
        // At a single position a router may tip to another expert.
        Assert.InRange(similar.Order().ElementAt(similar.Length / 2), 0.99f, 1.0001f);
    }

    private LayerQuantizer Calibrate(ModelSource model, QuantizationSource source, QuantizationPlan plan, int[] text) => new(
        model, source.Tensors.Zip(plan.Tensors).Where(t => t.Second.Format.Name == Fine).Select(t => new CalibratedTensor(t.Second.Format, t.First.Matrices)),
        [text], new ImportanceRounding(), _pool);

    public void Dispose()
    {
        _pool.Dispose();
        _folder.Dispose();
    }
}
