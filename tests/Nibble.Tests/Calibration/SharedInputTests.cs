using Nibble.Core.Formats;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Quantization;
using Nibble.Quantization.Calibration;
using Nibble.Quantization.Methods;
using Nibble.Tests.Decoder;
using Nibble.Tests.Files;
using Nibble.Tests.Golden;

namespace Nibble.Tests.Calibration;

/// <summary>Every linear layer of every architecture is calibrated on what it reads, whatever reads the same beside it.</summary>
public sealed class SharedInputTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Theory, MemberData(nameof(GoldenArchitectureTests.Decoders), MemberType = typeof(GoldenArchitectureTests))]
    public void Only_experts_may_be_reached_by_no_token(string name)
    {
        using ModelSource source = ModelSource.Open(GoldenCheckpoint.Folder(name));
        using var pool = new WorkerPool(1);
        string[] linears = Linears(source, pool);
        IEnumerable<CalibratedTensor> tensors = linears.Select(l => new CalibratedTensor(Format.Parse("Linear4-row"), [MatrixName.OfLinear(l)]));
        using var quantizer = new LayerQuantizer(source, tensors, Texts(name), new ImportanceRounding(), pool);
        foreach (string linear in linears) Assert.NotNull(quantizer.Take([MatrixName.OfLinear(linear)], TestContext.Current.CancellationToken));
        Assert.DoesNotContain(quantizer.Warnings, w => !w.Contains("_exps[", StringComparison.Ordinal));
    }

    [Theory, MemberData(nameof(GoldenArchitectureTests.Decoders), MemberType = typeof(GoldenArchitectureTests))]
    public void Saved_moments_are_those_of_every_input(string name)
    {
        string path = _folder.PathOf("moments.gguf");
        using ModelSource source = ModelSource.Open(GoldenCheckpoint.Folder(name));
        using var pool = new WorkerPool(1);
        int[][] texts = Texts(name);
        StatisticsKey key = StatisticsKey.Of("model", texts);
        MomentsFile.Measure(path, key, source, texts, pool, _ => { }, TestContext.Current.CancellationToken);
        using var saved = new MomentsFile(path, key);
        using var model = new DecoderModel(source, pool);
        foreach (Linear linear in model.Linears.Where(l => l.Name != "output"))
            Assert.True(saved.Read(linear) is not null || linear.Name.Contains("_exps[", StringComparison.Ordinal), linear.Name);
    }

    private static int[][] Texts(string name) => [GoldenArchitecture.Read(GoldenCheckpoint.Folder(name)).InputIds];

    private static string[] Linears(ModelSource source, WorkerPool pool)
    {
        using var model = new DecoderModel(source, pool);
        return [.. model.Linears.Where(l => l.Name != "output" && !l.Name.EndsWith("ffn_gate_inp", StringComparison.Ordinal)).Select(l => l.Name)];
    }

    public void Dispose() => _folder.Dispose();
}
