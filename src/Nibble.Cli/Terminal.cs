using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Nibble.Cli;

/// <summary>
/// Where a run prints: results to standard output; progress, notes and errors to standard error. Colour and moving
/// parts appear only on a terminal, and colour only where <c>NO_COLOR</c> is not set.
/// </summary>
public sealed class Terminal
{
    /// <summary>Columns of what goes to a file: nothing is wrapped, no message with long paths in it either.</summary>
    private const int Unwrapped = 100_000;

    private readonly IAnsiConsole _rich;
    private readonly IAnsiConsole _richError;

    public Terminal(TextWriter output, TextWriter error, bool outputIsTerminal, bool errorIsTerminal, bool color)
    {
        Output = output;
        Error = error;
        OutputIsTerminal = outputIsTerminal;
        ErrorIsTerminal = errorIsTerminal;
        _rich = NewConsole(output, outputIsTerminal, color);
        _richError = NewConsole(error, errorIsTerminal, color);
    }

    public static Terminal OfProcess()
    {
        bool dumb = Environment.GetEnvironmentVariable("TERM") == "dumb";
        bool color = !dumb && string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR"));
        return new Terminal(Console.Out, Console.Error, !dumb && !Console.IsOutputRedirected, !dumb && !Console.IsErrorRedirected, color);
    }

    public TextWriter Output { get; }

    public TextWriter Error { get; }

    public bool OutputIsTerminal { get; }

    public bool ErrorIsTerminal { get; }

    /// <summary>Columns of standard output.</summary>
    public int Width => _rich.Profile.Width;

    /// <summary>Shows on a terminal what a generated text continues; a file gets the new text alone.</summary>
    public void Echo(string text)
    {
        if (OutputIsTerminal) _rich.Write(new Text(text, new Style(decoration: Decoration.Bold)));
    }

    /// <summary>Prints a piece of text as it comes.</summary>
    public void Stream(string piece)
    {
        Output.Write(piece);
        Output.Flush();
    }

    public void WriteJson<T>(T result, JsonTypeInfo<T> json) => Output.WriteLine(JsonSerializer.Serialize(result, json));

    public void Write(IRenderable what) => _rich.Write(what);

    /// <summary>Prints Spectre markup to standard output.</summary>
    public void Markup(string markup) => _rich.MarkupLine(markup);

    /// <summary>A remark that is not the result.</summary>
    public void Note(string line) => _richError.MarkupLine($"[grey]{Plain(line)}[/]");

    public void Warn(string line) => _richError.MarkupLine($"[yellow]warning:[/] {Plain(line)}");

    public void ErrorLine(string line) => _richError.MarkupLine($"[red]nibble:[/] {Plain(line)}");

    /// <summary>Does the work while the meter shows how far it is.</summary>
    /// <param name="what">What is being done: "evaluating".</param>
    /// <param name="total">How many units there are.</param>
    /// <param name="unit">"tokens"; "bytes" is shown as MB.</param>
    /// <param name="work">Sets the meter as it goes.</param>
    internal T Measure<T>(string what, double total, string unit, Func<Meter, T> work)
    {
        var meter = new Meter(what, total, unit);
        return ErrorIsTerminal ? MeterDisplay.Live(_richError, meter, work) : MeterDisplay.Lines(Error, meter, work);
    }

    public void Flush()
    {
        Output.Flush();
        Error.Flush();
    }

    /// <summary>One line, as markup: a message may quote a file, which must not move the cursor or colour the screen.</summary>
    private static string Plain(string message) => string.Concat(message.ReplaceLineEndings(" ").Select(c =>
        char.IsControl(c) ? string.Create(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}") : c.ToString())).EscapeMarkup();

    private static IAnsiConsole NewConsole(TextWriter writer, bool isTerminal, bool color)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(writer),
            Ansi = isTerminal ? AnsiSupport.Detect : AnsiSupport.No,
            ColorSystem = isTerminal && color ? ColorSystemSupport.Detect : ColorSystemSupport.NoColors,
            Interactive = isTerminal ? InteractionSupport.Detect : InteractionSupport.No,
        });
        if (!isTerminal) console.Profile.Width = Unwrapped;
        return console;
    }
}
