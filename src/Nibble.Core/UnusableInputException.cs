namespace Nibble.Core;

/// <summary>
/// The arguments or a file cannot be used. The message is one line for a person: which file, what is wrong at which
/// place, and what would be right. The command line prints it as it is and exits with code 2.
/// </summary>
public sealed class UnusableInputException : Exception
{
    public UnusableInputException(string message) : base(message) { }
    public UnusableInputException(string message, Exception cause) : base(message, cause) { }
}
