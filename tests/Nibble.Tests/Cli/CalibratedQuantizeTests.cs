using System.Globalization;
using System.Text.Json;
using Nibble.Tests.Files;

namespace Nibble.Tests.Cli;

/// <summary>Quantizing with a text to calibrate on, from the command line.</summary>
public sealed class CalibratedQuantizeTests : IDisposable
{
    private const string Chunks = "6";

    private readonly TemporaryFolder _folder = new();

    private static string Text => Path.Combine(EmbeddedModel.Folder, "..", "text", "eval.txt");

    [Fact]
    public void Calibrated_bits_predict_better_than_nearest_ones()
    {
        string nearest = _folder.PathOf("nearest.gguf"), calibrated = _folder.PathOf("gptq.gguf");
        CommandRun.Of("quantize", EmbeddedModel.Folder, "-o", nearest, "--to", "Q3_K_S");
        JsonElement result = CommandRun.Of("quantize", EmbeddedModel.Folder, "-o", calibrated, "--to", "Q3_K_S",
            "--calibration", Text, "--calibration-chunks", Chunks, "--json").Json;
        Assert.All(result.GetProperty("tensors").EnumerateArray().Where(t => t.GetProperty("name").GetString()!.Contains("ffn_", StringComparison.Ordinal)
            && t.GetProperty("format").GetString() != "F32"), t => Assert.Equal("gptq", t.GetProperty("method").GetString()));
        Assert.InRange(Divergence(calibrated), 0, 0.7 * Divergence(nearest));
        Assert.Equal(new FileInfo(nearest).Length, new FileInfo(calibrated).Length, 64.0);
    }

    /// <summary>
    /// Where importance is known, llama-quantize gives some tensors other types (the first ffn_down of Q4_0). Its files carry
    /// more metadata than ours, so a file of ours that is larger, or smaller by more than that, has another type somewhere.
    /// </summary>
    [Fact]
    public void A_calibrated_file_takes_the_bytes_of_llama_cpps_with_importance()
    {
        string text = SharedData.Path("data/calib.txt"), model = SharedData.Path("models/base");
        foreach (string[] row in File.ReadLines(SharedData.Path("data/llama-cpp-base.tsv")).Select(line => line.Split('\t')).Where(row => row.ElementAtOrDefault(1) == "imatrix"))
        {
            long theirs = long.Parse(row[2], CultureInfo.InvariantCulture);
            long ours = CommandRun.Of("quantize", model, "-o", _folder.PathOf("x.gguf"), "--to", row[0], "--calibration", text, "--dry-run", "--json")
                .Json.GetProperty("bytes").GetInt64();
            Assert.True(theirs - ours is >= 0 and < 1024, $"{row[0]}: {theirs} bytes, ours would have {ours}");
        }
    }

    [Fact]
    public void One_thread_or_two_make_the_same_file()
    {
        string[] files = [_folder.PathOf("1/m.gguf"), _folder.PathOf("2/m.gguf")];
        for (int i = 0; i < files.Length; i++)
        {
            Directory.CreateDirectory(Path.GetDirectoryName(files[i])!);
            CommandRun.Of("quantize", EmbeddedModel.Folder, "-o", files[i], "--to", "Q3_K_S", "--calibration", Text, "--calibration-chunks", "2", "--threads", $"{i + 1}");
        }
        Assert.True(File.ReadAllBytes(files[0]).AsSpan().SequenceEqual(File.ReadAllBytes(files[1])));
    }

    /// <summary>At the bytes of a recipe, the mix that was chosen by measurement predicts better than the recipe's.</summary>
    [Fact]
    public void A_budget_is_kept_and_spent_better_than_by_a_recipe()
    {
        string recipe = _folder.PathOf("recipe.gguf"), budget = _folder.PathOf("budget.gguf");
        CommandRun.Of("quantize", EmbeddedModel.Folder, "-o", recipe, "--to", "Q3_K_M", "--calibration", Text, "--calibration-chunks", Chunks);
        long bytes = new FileInfo(recipe).Length;
        JsonElement result = CommandRun.Of("quantize", EmbeddedModel.Folder, "-o", budget, "--size", bytes.ToString(CultureInfo.InvariantCulture),
            "--calibration", Text, "--calibration-chunks", Chunks, "--json").Json;
        Assert.InRange(new FileInfo(budget).Length, (long)(0.98 * bytes), bytes);
        Assert.Equal(new FileInfo(budget).Length, result.GetProperty("bytes").GetInt64());
        Assert.InRange(Divergence(budget), 0, 0.9 * Divergence(recipe));
    }

    [Fact]
    public void A_budget_for_a_folder_is_spent_on_formats_of_our_own()
    {
        JsonElement plan = CommandRun.Of("quantize", EmbeddedModel.Folder, "-o", _folder.PathOf("own"), "--bits", "3", "--calibration", Text, "--dry-run", "--json").Json;
        Assert.InRange(plan.GetProperty("bits_per_weight").GetDouble(), 2.9, 3.05);
        string[] formats = [.. plan.GetProperty("tensors").EnumerateArray().Select(t => t.GetProperty("format").GetString()!)];
        Assert.Contains("Trellis3-h", formats);
        Assert.DoesNotContain(formats, f => f.StartsWith("IQ", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("--bits", "3", null, "--calibration TEXT")]
    [InlineData("--bits", "0.5", "text", "1 to 16 bits")]
    [InlineData("--size", "twenty", "text", "20MB")]
    [InlineData("--size", "1MB", "text", "smallest formats")]
    public void A_budget_that_cannot_be_spent_is_refused(string option, string value, string? text, string expected)
    {
        string[] calibration = text is null ? [] : ["--calibration", Text];
        CommandRun run = CommandRun.Of(["quantize", EmbeddedModel.Folder, "-o", _folder.PathOf("x.gguf"), option, value, .. calibration]);
        Assert.Equal(2, run.ExitCode);
        Assert.Contains(expected, run.Error, StringComparison.Ordinal);
        Assert.False(File.Exists(_folder.PathOf("x.gguf")));
    }

    /// <summary>What the message asks for is enough, and it comes before anything is measured.</summary>
    [Theory, InlineData("--size", "1kB"), InlineData("--bits", "1")]
    public void A_budget_that_is_too_small_is_told_which_one_is_not(string option, string value)
    {
        string[] command = ["quantize", EmbeddedModel.Folder, "-o", _folder.PathOf("least.gguf"), "--calibration", Text, "--calibration-chunks", "1", "--json"];
        string line = CommandRun.Of([.. command, option, value]).ErrorLine(2);
        Assert.Contains($"{option} {value}:", line, StringComparison.Ordinal);
        string least = Assert.Single(line.Split(' '), word => word != value && double.TryParse(word, System.Globalization.CultureInfo.InvariantCulture, out _));
        Assert.Equal(0, CommandRun.Of([.. command, option, least]).ExitCode);
    }

    [Theory]
    [InlineData("gptq", null, "--calibration TEXT")]
    [InlineData("nearest", "text", "looks at no text")]
    [InlineData("magic", "text", "the methods are nearest, hqq, gptq")]
    [InlineData("smoothquant:2", "text", "from 0 to 1")]
    public void A_method_and_its_text_go_together(string method, string? text, string expected)
    {
        string[] calibration = text is null ? [] : ["--calibration", Text];
        CommandRun run = CommandRun.Of(["quantize", EmbeddedModel.Folder, "-o", _folder.PathOf("x.gguf"), "--method", method, .. calibration]);
        Assert.Equal(2, run.ExitCode);
        Assert.Contains(expected, run.Error, StringComparison.Ordinal);
    }

    /// <summary>A format that does not say which numbers of its blocks are scales is named.</summary>
    [Theory, InlineData("Q4_K_S", null), InlineData("IQ3_XXS", "no scales to tune in")]
    public void Scales_are_tuned_where_a_format_has_them(string recipe, string? warning)
    {
        JsonElement plan = CommandRun.Of("quantize", EmbeddedModel.Folder, "-o", _folder.PathOf("x.gguf"), "--to", recipe, "--method", "gptq+scales", "--calibration", Text, "--dry-run", "--json").Json;
        Assert.Equal(warning is not null, plan.GetProperty("warnings").EnumerateArray().Any(w => w.GetString()!.Contains(warning ?? "to tune", StringComparison.Ordinal)));
    }

    private static double Divergence(string model) =>
        CommandRun.Of("eval", model, "--text", Text, "--chunks", "4", "--context", "256", "--reference", EmbeddedModel.Folder, "--json")
            .Json.GetProperty("kld").GetProperty("mean").GetDouble();

    [Theory]
    [InlineData("quantize --calibration TEXT -o x.gguf", "give a longer text")]
    [InlineData("run -p a --activations int8-tensor --calibration TEXT", "give a longer text")]
    [InlineData("importance --text TEXT -o x.gguf", "a shorter --context")]
    [InlineData("eval --text TEXT", "a shorter --context")]
    public void A_text_that_is_too_short_is_named_with_what_helps(string arguments, string remedy)
    {
        string text = _folder.Write("short.txt", "Short."u8);
        string line = CommandRun.Of(arguments.Replace("TEXT", text, StringComparison.Ordinal).Replace("x.gguf", _folder.PathOf("x.gguf"), StringComparison.Ordinal).Split(' ')).ErrorLine(2);
        Assert.Contains($"{text}: has ", line, StringComparison.Ordinal);
        Assert.EndsWith(remedy, line, StringComparison.Ordinal);
    }

    public void Dispose() => _folder.Dispose();
}
