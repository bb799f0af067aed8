using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using Nibble.Cli.Commands;
using Nibble.Core;

namespace Nibble.Cli;

/// <summary>
/// Parses the arguments, runs one verb, and turns every failure into one line and an exit code: 0 done, 1 failed while
/// working, 2 the arguments or the input are unusable.
/// </summary>
public static class CommandLine
{
    /// <summary>What a person types to start the program; the launcher says how it was called.</summary>
    public static string Name => Environment.GetEnvironmentVariable("NIBBLE_COMMAND") is { Length: > 0 } typed ? typed : "nibble";

    public const int Done = 0, Failed = 1, Unusable = 2;

    /// <summary>Every verb; a new one is a file in Commands/ and a line here.</summary>
    private static Verb[] Verbs() =>
    [
        new QuantizeCommand(),
        new RunCommand(),
        new ImportanceCommand(),
        new EvalCommand(),
        new CompareCommand(),
        new BenchCommand(),
        new ReportCommand(),
        new TrainCommand(),
        new InspectCommand(),
        new SplitCommand(),
        new MergeCommand(),
        new LogitsCommand(),
        new FormatsCommand(),
        new DoctorCommand(),
    ];

    public static int Run(string[] args, Terminal terminal, CancellationToken cancellation)
    {
        try
        {
            if (args is [TrainCommand.Word, ..]) return TrainCommand.Start(args.AsSpan(1), cancellation);
            ParseResult parsed = Root(terminal, cancellation).Parse(args);
            if (parsed.Action is ParseErrorAction)
                throw new UnusableInputException($"{ArgumentReader.Cause(parsed).TrimEnd('.')}; '{Path(parsed.CommandResult.Command)} --help' shows what is possible");
            return parsed.Invoke(new InvocationConfiguration
            {
                EnableDefaultExceptionHandler = false,
                Output = terminal.Output,
                Error = terminal.Error,
            });
        }
        catch (Exception e)
        {
            return Report(Cause(e), terminal);
        }
        finally
        {
            terminal.Flush();
        }
    }

    private static RootCommand Root(Terminal terminal, CancellationToken cancellation)
    {
        var root = new RootCommand("Nibble makes language models small and runs them: quantize, measure, run, at 1 to 8 bits.");
        foreach (Verb verb in Verbs())
        {
            verb.SetAction(parsed => verb.Run(parsed, terminal, cancellation));
            root.Add(verb);
        }
        HelpOption help = root.Options.OfType<HelpOption>().Single();
        var helpAction = new HelpWithExamples((HelpAction)help.Action!, terminal.Width);
        help.Action = helpAction;
        root.SetAction(helpAction.Invoke);
        return root;
    }

    private static string Path(Command command) => command is RootCommand ? "nibble" : $"nibble {command.Name}";

    /// <summary>What a person should read of an exception that other layers may have wrapped.</summary>
    private static Exception Cause(Exception e)
    {
        for (Exception? inner = e; inner is not null; inner = inner.InnerException)
            if (inner is UnusableInputException or OperationCanceledException)
                return inner;
        return e;
    }

    private static int Report(Exception e, Terminal terminal)
    {
        (int code, string line) = e switch
        {
            UnusableInputException unusable => (Unusable, unusable.MessageFor(OptionOf)),
            StoppedException => (Failed, e.Message),
            OperationCanceledException => (Failed, "stopped; nothing was left half-written"),
            IOException or UnauthorizedAccessException => (Failed, e.Message),
            OutOfMemoryException => (Failed, "not enough memory; fewer tokens (-n, --context, --prompt) or another format needs less"),
            _ => (Failed, $"unexpected {e.GetType().Name}: {e.Message} (NIBBLE_TRACE=1 shows where; please report it)"),
        };
        terminal.ErrorLine(line);
        if (Environment.GetEnvironmentVariable("NIBBLE_TRACE") == "1") terminal.Error.WriteLine(e);
        return code;
    }

    /// <summary>What the library's argument is called here; to quantize again is for one verb to allow.</summary>
    private static string OptionOf(string argument) => argument switch
    {
        "allowRequantize" => "'nibble quantize --allow-requantize'",
        "output" => "-o",
        _ => $"--{argument}",
    };

    /// <summary>The usual help, with the verb's examples after it.</summary>
    private sealed class HelpWithExamples : SynchronousCommandLineAction
    {
        private readonly HelpAction _usual;

        public HelpWithExamples(HelpAction usual, int width)
        {
            _usual = usual;
            _usual.MaxWidth = width;
        }

        public override bool ClearsParseErrors => true;

        public override int Invoke(ParseResult parseResult)
        {
            int code = _usual.Invoke(parseResult);
            TextWriter output = parseResult.InvocationConfiguration.Output;
            if (parseResult.CommandResult.Command is not Verb { Examples.Length: > 0 } verb) return code;
            output.WriteLine("Examples:");
            foreach (string example in verb.Examples) output.WriteLine($"  {example}");
            return code;
        }
    }
}
