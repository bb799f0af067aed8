namespace Nibble.Cli;

/// <summary>Work was stopped as it was asked to be; the message says what is left of it.</summary>
internal sealed class StoppedException(string message, OperationCanceledException cause) : OperationCanceledException(message, cause);
