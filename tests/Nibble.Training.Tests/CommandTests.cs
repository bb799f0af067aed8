using System.Text;
using System.Text.Json;

namespace Nibble.Training.Tests;

public class CommandTests
{
    private static readonly string Model = Nibble.Tests.EmbeddedModel.Folder;

    [Theory]
    [InlineData("--text", "--to Linear2 -o OUT")]
    [InlineData("--to", "-o OUT --text LONG")]
    [InlineData("'Q99'", "--to Q99 -o OUT --text LONG")]
    [InlineData("plain floats", "--to F16 -o OUT --text LONG")]
    [InlineData("--steps takes", "--to Linear2 -o OUT --text LONG --steps 0")]
    [InlineData("--distill takes", "--to Linear2 -o OUT --text LONG --distill 2")]
    [InlineData("--weights-lr 0,001", "--to Linear2 -o OUT --text LONG --weights-lr 0,001")]
    [InlineData("--threads takes", "--to Linear2 -o OUT --text LONG --threads -3")]
    [InlineData("--weights-lr takes", "--to Linear2 -o OUT --text LONG --weights-lr NaN")]
    [InlineData("--schedule 1: must be cosine or wsd;", "--to Linear2 -o OUT --text LONG --schedule 1")]
    [InlineData("--train foo: must be all or blocks or scales;", "--to Linear2 -o OUT --text LONG --train foo")]
    [InlineData("'--froce'", "--froce --to Linear2 -o OUT --text LONG")]
    [InlineData("no such file", "--to Linear2 -o OUT --text MISSING")]
    [InlineData("held out need", "--to Linear2 -o OUT --text SHORT")]
    [InlineData("not UTF-8", "--to Linear2 -o OUT --text BINARY")]
    [InlineData("GGUF has no type for Linear2", "--to Linear2 -o OUT.gguf --text LONG")]
    [InlineData("--context 4096", "--to Linear2 -o OUT --text LONG --context 4096")]
    [InlineData("no checkpoint", "--to Linear2 -o OUT --text LONG --resume --steps 1")]
    [InlineData("GB of memory", "--to Linear2 -o OUT --text LONG --batch 1000000")]
    public void Unusable_arguments_give_one_line_and_exit_code_2_before_any_work(string said, string arguments)
    {
        Torch.Require();
        using var folder = new Nibble.Tests.Files.TemporaryFolder();
        folder.Write("long", Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat("The quick brown fox jumps over the lazy dog. ", 300))));
        folder.Write("short", "Too short."u8);
        folder.Write("binary", [0xFF, 0xFE, 0x80, 0x00]);
        arguments = arguments.Replace("OUT", folder.PathOf("out"), StringComparison.Ordinal).Replace("LONG", folder.PathOf("long"), StringComparison.Ordinal)
            .Replace("SHORT", folder.PathOf("short"), StringComparison.Ordinal).Replace("BINARY", folder.PathOf("binary"), StringComparison.Ordinal);
        (int code, string output, string error) = Run([Model, .. arguments.Split(' ')]);
        string line = Assert.Single(error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.True(code == 2, line);
        Assert.Equal("", output);
        Assert.Contains(said, line, StringComparison.Ordinal);
        Assert.Equal(3, Directory.EnumerateFileSystemEntries(folder.Path).Count());
    }

    [Fact]
    public void A_short_run_writes_a_model_and_says_in_json_what_came_of_it()
    {
        Torch.Require();
        using var folder = new Nibble.Tests.Files.TemporaryFolder();
        string text = folder.Write("text", Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat("The quick brown fox jumps over the lazy dog. ", 40))));
        (int code, string output, string error) = Run([Model, "--to", "Linear2", "-o", folder.PathOf("out"), "--text", text,
            "--steps", "2", "--batch", "1", "--context", "32", "--threads", "1", "--distill", "--json"]);
        Assert.True(code == 0, error);
        JsonElement json = JsonDocument.Parse(output).RootElement;
        Assert.Equal(2, json.GetProperty("steps").GetInt32());
        Assert.True(json.GetProperty("held_out").GetDouble() <= json.GetProperty("held_out_before").GetDouble());
        Assert.True(File.Exists(Path.Combine(folder.PathOf("out"), "model.safetensors")));
        Assert.True(File.Exists(Path.Combine(folder.PathOf("out"), "tokenizer.json")));
        Assert.Equal(2, Directory.EnumerateFileSystemEntries(folder.Path).Count());
    }

    [Fact]
    public void Help_lists_the_options()
    {
        (int code, string output, _) = Run(["--help"]);
        Assert.Equal(0, code);
        Assert.Contains("--distill-hidden", output, StringComparison.Ordinal);
        Assert.Contains("nibble train [<MODEL>] [options]", output, StringComparison.Ordinal);
    }

    private static (int Code, string Output, string Error) Run(string[] arguments)
    {
        using StringWriter output = new(), error = new();
        int code = Program.Run(arguments, output, error, TestContext.Current.CancellationToken);
        return (code, output.ToString(), error.ToString());
    }
}
