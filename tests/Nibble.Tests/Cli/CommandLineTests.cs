using System.Text.Json;
using Nibble.Core.Formats;

namespace Nibble.Tests.Cli;

public class CommandLineTests
{
    [Theory]
    [InlineData("frobnicate", "'frobnicate'")]
    [InlineData("formats --frobnicate", "'--frobnicate'")]
    [InlineData("formats --threads", "--threads")]
    [InlineData("formats --threads many", "many")]
    [InlineData("formats --threads -1", "--threads")]
    [InlineData("eval --chunks many", "--chunks many: must be a whole number")]
    [InlineData("run -p x --temperature 0,5", "--temperature 0,5: must be a number")]
    [InlineData("quantize --bits 1,5", "--bits 1,5")]
    [InlineData("run -p x --seed -1", "--seed -1: must be a whole number from 0 to 18446744073709551615")]
    [InlineData("quantize --froce", "no option '--froce'")]
    [InlineData("quantize --ouput x.gguf", "no option '--ouput'")]
    [InlineData("report --frobnicate a b", "no option '--frobnicate'")]
    [InlineData("split --max-szie 4G -o x", "no option '--max-szie'")]
    [InlineData("bench --prompt 2000000000 --generate 2000000000", "--prompt and --generate")]
    [InlineData("bench --prompt 1 --generate 1 --batch 2000000000", "--batch 2000000000")]
    [InlineData("run -p x -n 2147483647", "-n 2147483647")]
    [InlineData("compare --formats ,", "--formats")]
    [InlineData("quantize --to Linear4 --resume -o somewhere", "--resume")]
    [InlineData("eval --activations int8-tensor --calibration nowhere.txt", "--calibration takes")]
    [InlineData("quantize --dry-run --to Linear4-g+32", "'g+32'")]
    [InlineData("quantize --dry-run --to Vector8x256-pq+2", "'pq+2'")]
    [InlineData("quantize --dry-run --to Linear4-g128-h+64", "h+64")]
    [InlineData("eval --text /", "/: is a folder; --text takes a UTF-8 text")]
    public void Unusable_arguments_give_exit_code_2_and_one_line_that_names_them(string arguments, string named)
    {
        Assert.Contains(named, CommandRun.Of(arguments.Split(' ')).ErrorLine(2), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("quantize --dry-run --calibration-chunks 8", "--calibration-chunks has no say")]
    [InlineData("quantize MODEL --dry-run -o x.gguf --to Q4_0 --chunks 8", "--chunks has no say")]
    [InlineData("quantize --bits 0.5 --calibration no.txt --to Q4_0 --pure", "--to has no say")]
    [InlineData("quantize --bits 0.5 --calibration no.txt --to Q4_0 --pure", "--pure has no say")]
    [InlineData("quantize MODEL --dry-run -o x.gguf --evaluate", "--evaluate has no say")]
    [InlineData("quantize MODEL --dry-run -o x.gguf --resume", "--resume has no say")]
    public void Options_that_change_nothing_beside_others_are_named(string arguments, string expected)
    {
        CommandRun run = CommandRun.Of(arguments.Replace("MODEL", EmbeddedModel.Folder, StringComparison.Ordinal).Split(' '));
        Assert.Contains(expected, run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void No_verb_at_all_shows_the_help()
    {
        CommandRun run = CommandRun.Of();
        Assert.Equal(0, run.ExitCode);
        Assert.Contains("formats", run.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void Help_of_a_verb_shows_examples()
    {
        CommandRun run = CommandRun.Of("formats", "--help");
        Assert.Equal(0, run.ExitCode);
        Assert.Contains("nibble formats --json", run.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void A_message_with_a_long_path_is_one_line()
    {
        string path = string.Join('/', Enumerable.Repeat(new string('a', 200), 5));
        Assert.Contains(path, CommandRun.Of("inspect", path).ErrorLine(2), StringComparison.Ordinal);
    }

    [Fact]
    public void Formats_lists_every_format_with_the_documented_fields()
    {
        JsonElement formats = CommandRun.Of("formats", "--json").Json.GetProperty("formats");
        Assert.Equal(Format.All.Count, formats.GetArrayLength());
        JsonElement q4 = formats.EnumerateArray().Single(f => f.GetProperty("name").GetString() == "Q4_0");
        Assert.Equal(4.5, q4.GetProperty("bits_per_weight").GetDouble());
        Assert.Equal(32, q4.GetProperty("block_size").GetInt32());
        Assert.Equal(18, q4.GetProperty("block_bytes").GetInt32());
        Assert.Equal("linear", q4.GetProperty("family").GetString());
        Assert.Equal(2, q4.GetProperty("gguf_type").GetInt32());
        Assert.All(formats.EnumerateArray(), f => Assert.Equal(
            f.GetProperty("bits_per_weight").GetDouble(), 8.0 * f.GetProperty("block_bytes").GetInt32() / f.GetProperty("block_size").GetInt32(), 9));
    }

    [Fact]
    public void Doctor_names_the_processor_and_the_instruction_sets_in_use()
    {
        JsonElement doctor = CommandRun.Of("doctor", "--json", "--threads", "3").Json;
        Assert.NotEqual("", doctor.GetProperty("processor").GetString());
        Assert.Equal(System.Runtime.Intrinsics.X86.Avx2.IsSupported,
            doctor.GetProperty("instruction_sets").EnumerateArray().Any(s => s.GetString() == "AVX2"));
        Assert.True(doctor.GetProperty("memory_bytes").GetInt64() > 0);
        Assert.Equal(3, doctor.GetProperty("threads").GetInt32());
        Assert.False(doctor.GetProperty("native_aot").GetBoolean());
    }
}
