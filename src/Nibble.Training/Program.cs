using System.CommandLine;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using Nibble.Core;
using Spectre.Console;

namespace Nibble.Training;

/// <summary>The entry point: exit codes are those of <c>nibble</c>: 0 done, 1 failed while working, 2 unusable arguments or input.</summary>
internal static class Program
{
    private const int Done = 0, Failed = 1, Unusable = 2;

    public static int Main(string[] args)
    {
        CultureInfo.CurrentCulture = CultureInfo.DefaultThreadCurrentCulture = CultureInfo.InvariantCulture;
        using var cancellation = new CancellationTokenSource();
        using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Cancel);
        using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Cancel);
        return Run(args, Console.Out, Console.Error, cancellation.Token);

        // The first signal stops behind the update at hand, with a checkpoint; a second one ends the process at once.
        void Cancel(PosixSignalContext signal)
        {
            signal.Cancel = !cancellation.IsCancellationRequested;
            cancellation.Cancel();
        }
    }

    /// <summary>One run, with the streams it prints to.</summary>
    public static int Run(string[] args, TextWriter output, TextWriter error, CancellationToken cancellation)
    {
        var command = new TrainingCommand();
        ParseResult parsed = command.Parse(args);
        if (parsed.Action is System.CommandLine.Help.HelpAction or System.CommandLine.Invocation.SynchronousCommandLineAction and not System.CommandLine.Invocation.ParseErrorAction)
            return parsed.Invoke(new InvocationConfiguration { Output = output, Error = error });
        try
        {
            Train(command.Read(parsed), parsed.GetValue(command.Json), output, error, cancellation);
            return Done;
        }
        catch (Exception e)
        {
            return Report(e, error);
        }
    }

    private static void Train(TrainingOptions options, bool json, TextWriter output, TextWriter error, CancellationToken cancellation)
    {
        bool isTerminal = error == Console.Error && !Console.IsErrorRedirected && Environment.GetEnvironmentVariable("TERM") != "dumb";
        using var run = new TrainingRun(options);
        Libtorch.Prepare();
        TorchSharp.torch.set_num_threads(options.Threads > 0 ? options.Threads : Environment.ProcessorCount);
        var display = new TrainingDisplay(NewConsole(error, isTerminal), isTerminal);
        display.Note(run.Summary);
        TrainingResult result = display.Show(() => run.Execute(display, cancellation));
        if (json) output.WriteLine(JsonSerializer.Serialize(result, ResultJson.Default.TrainingResult));
        else
            output.WriteLine(FormattableString.Invariant(
                $"{result.Output}: {result.Format}, {result.Steps} updates in {result.TrainSeconds:F0} s (stopped by {result.Stopped}); held-out loss {result.HeldOutBefore:F4} -> {result.HeldOut:F4}, best at update {result.BestStep}"));
    }

    private static int Report(Exception e, TextWriter error)
    {
        (int code, string line) = e switch
        {
            UnusableInputException unusable => (Unusable, unusable.MessageFor(argument => $"--{argument}")),
            TrainingFailedException => (Failed, e.Message),
            OperationCanceledException => (Failed, "stopped; the checkpoint beside the output holds the state, and --resume goes on with it"),
            DllNotFoundException or TypeInitializationException or NotSupportedException { Source: "TorchSharp" } => (Unusable, "libtorch is not installed for this platform; 'dotnet build src/Nibble.Training -c Release' installs it"),
            IOException or UnauthorizedAccessException => (Failed, e.Message),
            OutOfMemoryException => (Failed, "not enough memory; a smaller --batch or --context needs less"),
            _ => (Failed, $"unexpected {e.GetType().Name}: {e.Message} (NIBBLE_TRACE=1 shows where; please report it)"),
        };
        error.WriteLine($"nibble train: {line.ReplaceLineEndings(" ")}");
        if (Environment.GetEnvironmentVariable("NIBBLE_TRACE") == "1") error.WriteLine(e);
        return code;
    }

    private static IAnsiConsole NewConsole(TextWriter writer, bool isTerminal)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(writer),
            Ansi = isTerminal ? AnsiSupport.Detect : AnsiSupport.No,
            ColorSystem = isTerminal && string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR")) ? ColorSystemSupport.Detect : ColorSystemSupport.NoColors,
        });
        if (!isTerminal) console.Profile.Width = 400;
        return console;
    }
}
