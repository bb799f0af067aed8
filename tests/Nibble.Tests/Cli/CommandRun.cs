using System.Text.Json;
using Nibble.Cli;

namespace Nibble.Tests.Cli;

/// <summary>One run of the command line in this process, with what it printed.</summary>
internal sealed record CommandRun(int ExitCode, string Output, string Error)
{
    public static CommandRun Of(params string[] args) => Of(TestContext.Current.CancellationToken, args);

    public static CommandRun Of(CancellationToken cancellation, params string[] args)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        var terminal = new Terminal(output, TextWriter.Synchronized(error), outputIsTerminal: false, errorIsTerminal: false, color: false);
        int code = CommandLine.Run(args, terminal, cancellation);
        return new CommandRun(code, output.ToString(), error.ToString());
    }

    /// <summary>The one object that a successful run with <c>--json</c> printed.</summary>
    public JsonElement Json
    {
        get
        {
            Assert.True(ExitCode == 0, $"exit code {ExitCode}: {Error}");
            using JsonDocument document = JsonDocument.Parse(Output);
            return document.RootElement.Clone();
        }
    }

    /// <summary>The one line that a run which could not be done printed, with nothing on standard output.</summary>
    public string ErrorLine(int exitCode)
    {
        Assert.Equal(exitCode, ExitCode);
        Assert.Equal("", Output);
        return Assert.Single(Error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }
}
