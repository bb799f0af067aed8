using Nibble.Core.Formats;
using Nibble.Quantization.Methods;
using Nibble.Quantization.Ranges;
using Nibble.Tests.Cli;
using Nibble.Tests.Files;

namespace Nibble.Tests.Methods;

/// <summary>The half-quadratic solver, against the rounding that it starts from.</summary>
public sealed class HqqTests
{
    public static TheoryData<string> Formats => ["Q4_1", "Q5_1", "Q2_K", "Q4_K", "Linear2", "Linear3-min", "Linear4-g32", "Linear4-min-s8"];

    /// <summary>The norm that it solves for falls in every row; with the extremes as ranges, so does the squared error of the whole.</summary>
    [Theory, MemberData(nameof(Formats))]
    public void The_norm_falls_and_with_it_the_squared_error_of_extreme_ranges(string name)
    {
        var format = Format.Parse(name);
        var random = new Random(1);
        var options = new FitOptions { Range = new MinMaxRange() };
        float[] row = new float[512], rounded = new float[512];
        double squaredBefore = 0, squaredAfter = 0;
        for (int r = 0; r < 12; r++)
        {
            for (int i = 0; i < row.Length; i++) row[i] = 0.02f * (float)Enumerable.Range(0, 4).Sum(_ => random.NextDouble() - 0.5) * (i % 50 == 0 ? 3 : 1);
            var bytes = new byte[format.RowBytes(row.Length)];
            format.Encode(row, options, bytes);
            format.Decode(bytes, rounded);
            double before = Norm(row, rounded, 0.7);
            squaredBefore += Norm(row, rounded, 2);
            new Hqq(format).Encode(row, options, bytes);
            format.Decode(bytes, rounded);
            Assert.True(Norm(row, rounded, 0.7) <= before * 1.00001, $"{Norm(row, rounded, 0.7)} after {before}");
            squaredAfter += Norm(row, rounded, 2);
        }
        Assert.True(squaredAfter < 0.99 * squaredBefore, $"{squaredAfter} after {squaredBefore}");
    }

    private static double Norm(float[] a, float[] b, double power) => a.Zip(b, (x, y) => Math.Pow(Math.Abs((double)x - y), power)).Sum();

    [Fact]
    public void Formats_without_a_minimum_are_refused_and_a_text_is()
    {
        using var folder = new TemporaryFolder();
        string[] command = ["quantize", EmbeddedModel.Folder, "-o", folder.PathOf("x"), "--method", "hqq"];
        Assert.Contains("Linear4-sym has not both", CommandRun.Of([.. command, "--to", "Linear4-sym"]).ErrorLine(2), StringComparison.Ordinal);
        Assert.Contains("looks at no text", CommandRun.Of([.. command, "--to", "Linear4", "--calibration", EmbeddedModel.Text]).ErrorLine(2), StringComparison.Ordinal);
    }

    [Fact]
    public void One_thread_or_many_and_a_stopped_run_give_the_same_bytes()
    {
        using var folder = new TemporaryFolder();
        string one = folder.PathOf("1.gguf"), two = folder.PathOf("2.gguf");
        string[] command = ["quantize", EmbeddedModel.Folder, "--method", "hqq", "--to", "Q4_1", "--json"];
        Assert.Contains(CommandRun.Of([.. command, "-o", one, "--threads", "1"]).Json.GetProperty("tensors").EnumerateArray(), t => t.GetProperty("method").GetString() == "hqq");
        byte[] bytes = File.ReadAllBytes(one);
        File.WriteAllBytes(two + ".partial", bytes[..(bytes.Length / 2)]);
        Assert.Equal(0, CommandRun.Of([.. command, "-o", two, "--threads", "2", "--resume"]).ExitCode);
        Assert.True(bytes.AsSpan().SequenceEqual(File.ReadAllBytes(two)));
    }
}
