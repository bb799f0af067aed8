namespace Nibble.Models.Chat.Jinja;

/// <summary>What a token of a template is.</summary>
internal enum TokenKind
{
    /// <summary>Text between tags, to be copied.</summary>
    Text,

    /// <summary>A brace pair opens: an expression to print.</summary>
    PrintBegin,
    PrintEnd,

    /// <summary>A brace and a percent sign open: a statement.</summary>
    BlockBegin,
    BlockEnd,
    Name,
    String,
    Integer,
    Float,

    /// <summary>Punctuation and operators.</summary>
    Symbol,
    End,
}

/// <param name="Kind">What it is.</param>
/// <param name="Text">Its characters; of a string the value.</param>
/// <param name="Line">Where it begins, from 1.</param>
internal readonly record struct Token(TokenKind Kind, string Text, int Line);

/// <summary>A template is wrong, or refuses its input.</summary>
internal sealed class JinjaException(string message, int line = 0) : Exception(message)
{
    /// <summary>Where, if it is known where it was thrown.</summary>
    public int Line { get; } = line;

    /// <summary>The template itself refused, through raise_exception.</summary>
    public bool Refused { get; init; }
}
