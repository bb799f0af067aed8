namespace Nibble.Core;

/// <summary>
/// The arguments or a file cannot be used. The message is one line for a person: which file, what is wrong at which
/// place, and what would be right. The command line prints it, with its own options
/// for arguments, and exits with code 2.
/// </summary>
public sealed class UnusableInputException : Exception
{
    public UnusableInputException(string message) : base(message) { }
    public UnusableInputException(string message, Exception cause) : base(message, cause) { }

    /// <summary>The argument of this library that helps, where the message names one behind its last semicolon (<c>force</c>).</summary>
    public string? Argument { get; init; }

    /// <summary>The message for people who know the argument by another name, such as an option of a program.</summary>
    /// <param name="option">The name of an <see cref="Argument"/>.</param>
    public string MessageFor(Func<string, string> option)
    {
        // Before the remedy stands a path, which may hold any word.
        int at = Argument is null ? -1 : Message.IndexOf(Argument, Math.Max(0, Message.LastIndexOf(';')), StringComparison.Ordinal);
        return at < 0 ? Message : $"{Message[..at]}{option(Argument!)}{Message[(at + Argument!.Length)..]}";
    }
}
