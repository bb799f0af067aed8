namespace Nibble.Models.Chat.Jinja;

/// <summary>The tokens of a template, and where the parser is.</summary>
internal sealed class TokenStream(IReadOnlyList<Token> tokens)
{
    private int _at;

    public Token Current => tokens[_at];

    public Token Following => tokens[Math.Min(_at + 1, tokens.Count - 1)];

    public int Line => Current.Line;

    public Token Take()
    {
        Token token = tokens[_at];
        if (_at + 1 < tokens.Count) _at++;
        return token;
    }

    public bool IsSymbol(string symbol) => Current.Kind == TokenKind.Symbol && Current.Text == symbol;

    public bool IsName(string name) => Current.Kind == TokenKind.Name && Current.Text == name;

    public bool SkipSymbol(string symbol) => Skip(IsSymbol(symbol));

    public bool SkipName(string name) => Skip(IsName(name));

    public void ExpectSymbol(string symbol)
    {
        if (!SkipSymbol(symbol)) throw Unexpected($"'{symbol}'");
    }

    public void ExpectName(string name)
    {
        if (!SkipName(name)) throw Unexpected($"'{name}'");
    }

    public string ExpectName() => Current.Kind == TokenKind.Name ? Take().Text : throw Unexpected("a name");

    public void Expect(TokenKind kind)
    {
        if (Current.Kind != kind) throw Unexpected(kind == TokenKind.BlockEnd ? "'%}'" : "'}}'");
        Take();
    }

    public JinjaException Unexpected(string wanted) =>
        new(Current.Kind == TokenKind.End ? $"it ends where {wanted} must come" : $"'{Current.Text}' stands where {wanted} must come", Line);

    private bool Skip(bool present)
    {
        if (present) Take();
        return present;
    }
}
