using System.Text;
using Nibble.Core;
using Nibble.Core.Kernels;
using Nibble.Quantization;
using Nibble.Quantization.Calibration;
using Nibble.Quantization.Recipes;
using Nibble.Tests.Files;

namespace Nibble.Tests.Calibration;

/// <summary>Importance matrices in files of llama.cpp's two layouts, and how they meet a model.</summary>
public sealed class ImportanceMatrixTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static ImportanceMatrix Matrix(params (string Name, ColumnImportance Importance)[] tensors) =>
        new(tensors.ToDictionary(t => t.Name, t => t.Importance), ["calib.txt"], 3, 512);

    [Fact]
    public void What_is_written_is_read_again()
    {
        string path = _folder.PathOf("i.gguf");
        Matrix(("blk.0.ffn_up_exps.weight", new ColumnImportance([1, 2, 3, 4, 0, 0], [2, 4, 0])), ("blk.0.attn_q.weight", new ColumnImportance([5, 6], [7]))).Write(path, force: false);
        ImportanceMatrix read = ImportanceMatrix.Read(path);
        Assert.Equal(["blk.0.attn_q.weight", "blk.0.ffn_up_exps.weight"], read.Tensors.Keys.Order());
        ColumnImportance experts = read.Tensors["blk.0.ffn_up_exps.weight"];
        Assert.Equal([1, 2, 3, 4, 0, 0], experts.Sums);
        Assert.Equal([2, 4, 0], experts.Counts);
        // An expert that no token reached: nothing is known, so all its columns count alike.
        Assert.Equal([0.5f, 1, 0.75f, 1, 1, 1], experts.MeanSquares());
        Assert.Equal((3u, 512u, "calib.txt"), (read.Chunks, read.ChunkTokens, read.Datasets.Single()));
    }

    /// <summary>The bytes as llama-imatrix --output-format dat lays them out: means times chunks.</summary>
    [Fact]
    public void The_layout_before_gguf_is_read()
    {
        ImportanceMatrix read = ImportanceMatrix.Read(_folder.Write("i.dat", Legacy()));
        Assert.Equal([1.5f, 3], read.Tensors["blk.0.attn_q.weight"].MeanSquares());
        Assert.Equal((2u, "calib.txt"), (read.Chunks, read.Datasets.Single()));
    }

    [Fact]
    public void A_damaged_file_is_refused_in_one_line()
    {
        byte[] legacy = Legacy();
        int withoutEnd = legacy.Length - 4 - 4 - "calib.txt".Length;
        for (int length = 1; length < legacy.Length; length++)
        {
            string path = _folder.Write($"{length}.dat", legacy.AsSpan(0, length));
            if (length == withoutEnd || length == withoutEnd + 4) ImportanceMatrix.Read(path);
            else Assert.Contains(path, Assert.Throws<UnusableInputException>(() => ImportanceMatrix.Read(path)).Message, StringComparison.Ordinal);
        }
        string negative = _folder.PathOf("n.gguf");
        Matrix(("blk.0.attn_q.weight", new ColumnImportance([5, -6], [7]))).Write(negative, force: false);
        Assert.Contains("no sum of squares", Assert.Throws<UnusableInputException>(() => ImportanceMatrix.Read(negative)).Message, StringComparison.Ordinal);
        string model = _folder.Write("model.gguf", GgufBytes.Valid());
        Assert.Contains("no importance matrix", Assert.Throws<UnusableInputException>(() => ImportanceMatrix.Read(model)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_expert_is_counted_by_itself()
    {
        using var x = new Activation();
        x.Resize(2, 3);
        new float[] { 1, 2, 3, 1, 0, -1 }.CopyTo(Rows(x));
        var probe = new ImportanceProbe();
        probe.LinearInput("blk.0.ffn_up_exps[2]", x);
        probe.LinearInput("blk.0.ffn_up_exps[2]", x);
        ColumnImportance importance = probe.Of("blk.0.ffn_up_exps", 4)!;
        Assert.Equal([0, 0, 0, 0, 0, 0, 4, 8, 20, 0, 0, 0], importance.Sums);
        Assert.Equal([0, 0, 4, 0], importance.Counts);
        Assert.Equal(3, importance.Unreached);
        Assert.Null(probe.Of("blk.0.ffn_down_exps", 4));
    }

    [Fact]
    public void Matrices_and_experts_that_nobody_measured_are_named_and_counted()
    {
        using var source = new QuantizationSource(SharedData.Path("golden/architectures/qwen3-moe"));
        QuantizationPlan plan = QuantizationPlan.Make(Recipe.Parse("Q4_0"), [.. source.Tensors.Select(t => t.Info)], source.Traits(hasImportance: true), new PlanOptions());
        SourceTensor up = source.Tensors.First(t => t.Info.Name.EndsWith("ffn_up_exps.weight", StringComparison.Ordinal));
        Assert.True(up.Experts > 1);
        float[] counts = [.. Enumerable.Repeat(9f, up.Experts)];
        counts[1] = 0;
        IReadOnlyList<string> warnings = Matrix((up.Info.Name, new ColumnImportance(new float[up.Experts * up.Columns], counts))).Warnings(source, plan);
        Assert.Contains("matrices, which are rounded without importance (blk.0.", warnings[0], StringComparison.Ordinal);
        Assert.Contains($"no token reached 1 experts in 1 tensors; all their columns count alike ({up.Info.Name}", warnings[1], StringComparison.Ordinal);
        Assert.Contains("another model", Assert.Throws<UnusableInputException>(
            () => Matrix((up.Info.Name, new ColumnImportance([1, 2], [1]))).Warnings(source, plan)).Message, StringComparison.Ordinal);
        Assert.Contains("another model", Assert.Throws<UnusableInputException>(
            () => Matrix(("blk.0.other.weight", new ColumnImportance([1, 2], [1]))).Warnings(source, plan)).Message, StringComparison.Ordinal);
    }

    private static unsafe Span<float> Rows(Activation x) => new(x.Floats, x.Tokens * x.Columns);

    private static byte[] Legacy()
    {
        using var bytes = new MemoryStream();
        using var writer = new BinaryWriter(bytes);
        writer.Write(1);
        writer.Write("blk.0.attn_q.weight".Length);
        writer.Write(Encoding.UTF8.GetBytes("blk.0.attn_q.weight"));
        writer.Write(2);
        writer.Write(2);
        writer.Write(3f);
        writer.Write(6f);
        writer.Write(2);
        writer.Write("calib.txt".Length);
        writer.Write(Encoding.UTF8.GetBytes("calib.txt"));
        return bytes.ToArray();
    }

    public void Dispose() => _folder.Dispose();
}
