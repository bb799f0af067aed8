using Nibble.Core;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Quantization;
using Nibble.Quantization.Methods;
using Nibble.Quantization.Recipes;
using Nibble.Tests.Files;
using Nibble.Tests.Golden;

namespace Nibble.Tests.Quantization;

/// <summary>What a program that quantizes is told when it cannot be done.</summary>
public sealed class ModelQuantizerTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly WorkerPool _pool = new(2);

    private string Output => _folder.PathOf("small.gguf");

    private QuantizationPlan PlanOf(QuantizationSource source, string recipe = "Q4_0") =>
        new ModelQuantizer(source, _pool).Plan(Recipe.Parse(recipe), new PlanOptions(), allowRequantize: false);

    private void Write(QuantizationSource source, string path, QuantizationPlan plan) =>
        new ModelQuantizer(source, _pool).Write(path, plan, new QuantizeOptions(), TestContext.Current.CancellationToken);

    [Fact]
    public void A_weight_that_is_no_number_is_unusable_whichever_thread_finds_it()
    {
        string damaged = Directory.CreateDirectory(_folder.PathOf("damaged")).FullName;
        EmbeddedModel.CopyDamaged(damaged, "model.layers.1.mlp.down_proj.weight", 0x7FC0);
        using var source = new QuantizationSource(damaged, Output);
        var thrown = Assert.Throws<UnusableInputException>(() => Write(source, Output, PlanOf(source)));
        Assert.Contains("blk.1.ffn_down.weight", thrown.Message, StringComparison.Ordinal);
        Assert.Equal([damaged], Directory.GetFileSystemEntries(_folder.Path));
    }

    [Fact]
    public void A_plan_of_another_model_is_refused_before_anything_is_written()
    {
        using var source = new QuantizationSource(EmbeddedModel.Folder, Output);
        using var other = new QuantizationSource(GoldenCheckpoint.Folder("llama"), Output);
        Assert.Throws<ArgumentException>(() => Write(source, Output, PlanOf(other)));
        QuantizationPlan plan = PlanOf(source);
        Assert.Throws<ArgumentException>(() => Write(source, Output, plan with { Tensors = [.. plan.Tensors.Skip(1)] }));
        Assert.Empty(Directory.GetFileSystemEntries(_folder.Path));
    }

    [Fact]
    public void An_output_of_the_other_kind_is_refused()
    {
        using var forFile = new QuantizationSource(EmbeddedModel.Folder, Output);
        using var forFolder = new QuantizationSource(EmbeddedModel.Folder, _folder.PathOf("small"));
        Assert.Throws<ArgumentException>(() => Write(forFile, _folder.PathOf("small"), PlanOf(forFile)));
        Assert.Throws<ArgumentException>(() => Write(forFolder, Output, PlanOf(forFolder, "Linear4-g32")));
        Assert.Empty(Directory.GetFileSystemEntries(_folder.Path));
    }

    /// <summary>GPT-2 stores matrices with inputs as rows; they stay so, and as they are, where they stay floats.</summary>
    [Fact]
    public void A_folder_holds_what_the_plan_says_also_of_turned_matrices()
    {
        string output = _folder.PathOf("small");
        using var source = new QuantizationSource(GoldenCheckpoint.Folder("gpt2"), output);
        QuantizationPlan plan = PlanOf(source, "F16");
        Assert.Contains(source.Tensors, t => t.IsTurned);
        Write(source, output, plan);
        using ModelSource written = ModelSource.Open(output);
        foreach ((SourceTensor tensor, PlannedTensor planned) in source.Tensors.Zip(plan.Tensors))
            Assert.Equal(planned.Format.Name, written.File.Get(tensor.Output(planned.Format).Name).Format!.Name);
    }

    [Fact]
    public void No_chunks_to_calibrate_on_are_refused()
    {
        using var source = new QuantizationSource(EmbeddedModel.Folder, Output);
        string text = File.ReadAllText(EmbeddedModel.Text);
        Assert.Throws<ArgumentOutOfRangeException>(() => source.Calibrate(PlanOf(source), text, 0, new Gptq(), _pool));
    }

    /// <summary>Files are hashed side by side, which must not hide what is wrong with one.</summary>
    [Fact]
    public void A_file_that_cannot_be_hashed_is_named() =>
        Assert.Contains("/nowhere/model.gguf", Assert.ThrowsAny<IOException>(() => Provenance.Hash(["/nowhere/model.gguf"])).Message, StringComparison.Ordinal);

    public void Dispose()
    {
        _pool.Dispose();
        _folder.Dispose();
    }
}
