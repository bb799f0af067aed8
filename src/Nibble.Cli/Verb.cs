using System.CommandLine;
using System.Text.Json.Serialization.Metadata;
using Nibble.Core.Threading;

namespace Nibble.Cli;

/// <summary>A verb of the command line. Every verb takes <c>--threads</c> and <c>--json</c>.</summary>
internal abstract class Verb : Command
{
    private readonly Option<bool> _json = new("--json") { Description = "Print one JSON object on standard output, and nothing else there." };
    private readonly Option<int> _threads = new("--threads")
    {
        Description = "Threads to work on; 0 is one a core.",
        HelpName = "N",
        Arity = ArgumentArity.ExactlyOne,
    };

    protected Verb(string name, string description, params string[] examples) : base(name, description)
    {
        Examples = examples;
        _threads.Validators.Add(threads =>
        {
            if (threads.Tokens.Count == 1 && int.TryParse(threads.Tokens[0].Value, out int n) && n is < 0 or > 1024)
                threads.AddError("--threads takes a number from 0 to 1024");
        });
    }

    /// <summary>Command lines that work, for the help.</summary>
    public string[] Examples { get; }

    public int Run(ParseResult parsed, Terminal terminal, CancellationToken cancellation)
    {
        Execute(new Invocation(parsed, terminal, parsed.GetValue(_json), parsed.GetValue(_threads), cancellation));
        return CommandLine.Done;
    }

    protected static Argument<string?> ModelArgument() => new("MODEL")
    {
        Description = "A Hugging Face folder or a .gguf file. [default: the embedded model, nibble-5m]",
        Arity = ArgumentArity.ZeroOrOne,
    };

    /// <summary>Adds the options of the verb, then those that all verbs share. To be called when its arguments are there.</summary>
    protected void AddOptions(params Option[] options)
    {
        foreach (Option option in (Option[])[.. options, _threads, _json])
        {
            ArgumentReader.ReadNumbers(option);
            Add(option);
        }
        foreach (Argument argument in Arguments) ArgumentReader.RefuseOptions(argument);
    }

    protected abstract void Execute(Invocation run);
}

/// <summary>One run of a verb: its arguments, where it prints, and when to stop.</summary>
internal sealed record Invocation(ParseResult Arguments, Terminal Terminal, bool Json, int Threads, CancellationToken Cancellation)
{
    public T? Get<T>(Option<T> option) => Arguments.GetValue(option);

    public T? Get<T>(Argument<T> argument) => Arguments.GetValue(argument);

    /// <summary>Whether the option stands on the command line, and is not at its default.</summary>
    public bool IsGiven(Option option) => Arguments.GetResult(option) is { Implicit: false };

    public WorkerPool NewPool() => new(Threads);

    /// <summary>Prints the result: as JSON where that was asked for, else as a person likes to read it.</summary>
    public void Print<T>(T result, JsonTypeInfo<T> json, Action<T> print)
    {
        if (Json) Terminal.WriteJson(result, json);
        else print(result);
    }
}
