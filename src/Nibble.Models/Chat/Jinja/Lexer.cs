using System.Globalization;
using System.Text;

namespace Nibble.Models.Chat.Jinja;

/// <summary>
/// Cuts a template into tokens, with the white space rules that transformers sets: trim_blocks (the line end after a
/// block goes), lstrip_blocks (the spaces before a block that begins its line go), and a minus sign for all white space.
/// </summary>
internal sealed class Lexer
{
    private static readonly string[] Symbols =
        ["==", "!=", "<=", ">=", "//", "**", "+", "-", "*", "/", "%", "~", "<", ">", "=", ".", ":", "|", ",", "(", ")", "[", "]", "{", "}"];

    private readonly string _source;
    private readonly List<Token> _tokens = [];
    private int _at, _line = 1;

    private Lexer(string source)
    {
        _source = source.Replace("\r\n", "\n", StringComparison.Ordinal).Replace('\r', '\n');
        // One line end at the end of a template belongs to the file, not to the text.
        if (_source.EndsWith('\n')) _source = _source[..^1];
    }

    /// <exception cref="JinjaException">A tag, a string or a comment does not end, or a character makes no sense.</exception>
    public static List<Token> Read(string source) => new Lexer(source).Run();

    private List<Token> Run()
    {
        bool trimLine = false, trimAll = false;
        while (true)
        {
            int open = NextTag();
            string text = _source[_at..open];
            int line = _line;
            Advance(open);
            if (trimAll) text = text.TrimStart();
            else if (trimLine && text.StartsWith('\n')) text = text[1..];
            if (open == _source.Length)
            {
                Add(TokenKind.Text, text, line);
                Add(TokenKind.End, "", _line);
                return _tokens;
            }
            char kind = _source[open + 1];
            char sign = open + 2 < _source.Length ? _source[open + 2] : ' ';
            if (sign == '-') text = text.TrimEnd();
            else if (kind != '{' && sign != '+') text = WithoutIndentation(text, open);
            Add(TokenKind.Text, text, line);
            Advance(open + (sign is '-' or '+' ? 3 : 2));
            (trimLine, trimAll) = kind switch
            {
                '#' => Comment(),
                '{' => (false, Inside(TokenKind.PrintBegin, TokenKind.PrintEnd, "}}") == '-'),
                _ => Block(),
            };
        }
    }

    /// <summary>Where the next tag begins, or the end.</summary>
    private int NextTag()
    {
        for (int i = _at; i + 1 < _source.Length; i++)
        {
            if (_source[i] == '{' && _source[i + 1] is '{' or '%' or '#') return i;
        }
        return _source.Length;
    }

    /// <summary>lstrip_blocks: spaces between the start of a line and a block go.</summary>
    private string WithoutIndentation(string text, int open)
    {
        int start = open;
        while (start > 0 && _source[start - 1] is ' ' or '\t') start--;
        bool beginsLine = start == 0 || _source[start - 1] == '\n';
        int kept = text.Length - (open - start);
        return beginsLine && kept >= 0 ? text[..kept] : text;
    }

    private (bool TrimLine, bool TrimAll) Comment()
    {
        int end = _source.IndexOf("#}", _at, StringComparison.Ordinal);
        if (end < 0) throw new JinjaException("a comment does not end", _line);
        char sign = end > 0 ? _source[end - 1] : ' ';
        Advance(end + 2);
        return (sign != '+', sign == '-');
    }

    private (bool TrimLine, bool TrimAll) Block()
    {
        int first = _tokens.Count;
        char sign = Inside(TokenKind.BlockBegin, TokenKind.BlockEnd, "%}");
        if (_tokens.Count == first + 3 && _tokens[first + 1] is { Kind: TokenKind.Name, Text: "raw" }) sign = Raw(first, sign);
        return (sign != '+', sign == '-');
    }

    /// <summary>Copies what stands between raw and endraw.</summary>
    private char Raw(int first, char sign)
    {
        _tokens.RemoveRange(first, 3);
        int line = _line;
        for (int open = _at; (open = _source.IndexOf("{%", open, StringComparison.Ordinal)) >= 0; open += 2)
        {
            int name = open + 2;
            bool trimEnd = name < _source.Length && _source[name] == '-';
            if (name < _source.Length && _source[name] is '-' or '+') name++;
            while (name < _source.Length && char.IsWhiteSpace(_source[name])) name++;
            if (!_source.AsSpan(name).StartsWith("endraw")) continue;
            string text = _source[_at..open];
            if (sign == '-') text = text.TrimStart();
            else if (sign != '+' && text.StartsWith('\n')) text = text[1..];
            Add(TokenKind.Text, trimEnd ? text.TrimEnd() : WithoutIndentation(text, open), line);
            int end = _source.IndexOf("%}", name, StringComparison.Ordinal);
            if (end < 0) break;
            Advance(end + 2);
            return _source[end - 1];
        }
        throw new JinjaException("'raw' without 'endraw'", line);
    }

    /// <summary>The tokens up to the end of a tag. Returns the sign at its end, if there is one.</summary>
    private char Inside(TokenKind begin, TokenKind end, string close)
    {
        _tokens.Add(new Token(begin, "", _line));
        int depth = 0, opened = _line;
        while (true)
        {
            while (_at < _source.Length && char.IsWhiteSpace(_source[_at])) Advance(_at + 1);
            if (_at >= _source.Length) throw new JinjaException("a tag does not end", opened);
            char sign = _source[_at];
            bool signed = sign is '-' or '+' && _source.AsSpan(_at + 1).StartsWith(close);
            // A closing brace may belong to a dictionary.
            if (depth == 0 && (signed || _source.AsSpan(_at).StartsWith(close)))
            {
                Advance(_at + close.Length + (signed ? 1 : 0));
                _tokens.Add(new Token(end, "", _line));
                return signed ? sign : ' ';
            }
            Token token = Next();
            if (token.Kind == TokenKind.Symbol) depth += token.Text is "(" or "[" or "{" ? 1 : token.Text is ")" or "]" or "}" ? -1 : 0;
            _tokens.Add(token);
        }
    }

    private Token Next()
    {
        char c = _source[_at];
        int line = _line;
        if (c is '\'' or '"') return new Token(TokenKind.String, StringLiteral.Unescape(Quoted(c)), line);
        if (char.IsAsciiDigit(c)) return Number();
        if (char.IsLetter(c) || c == '_') return new Token(TokenKind.Name, TakeWhile(ch => char.IsLetterOrDigit(ch) || ch == '_'), line);
        foreach (string symbol in Symbols)
        {
            if (!_source.AsSpan(_at).StartsWith(symbol)) continue;
            Advance(_at + symbol.Length);
            return new Token(TokenKind.Symbol, symbol, line);
        }
        throw new JinjaException($"'{c}' makes no sense here", line);
    }

    private string Quoted(char quote)
    {
        int end = _at + 1;
        while (end < _source.Length && _source[end] != quote) end += _source[end] == '\\' ? 2 : 1;
        if (end >= _source.Length) throw new JinjaException("a string does not end", _line);
        string raw = _source[(_at + 1)..end];
        Advance(end + 1);
        return raw;
    }

    private Token Number()
    {
        int start = _at, line = _line;
        if (_source[_at] == '0' && _at + 1 < _source.Length && "xXbBoO".Contains(_source[_at + 1]))
        {
            int radix = char.ToLowerInvariant(_source[_at + 1]) switch { 'x' => 16, 'b' => 2, _ => 8 };
            Advance(_at + 2);
            string digits = TakeWhile(c => char.IsAsciiHexDigit(c) || c == '_').Replace("_", "", StringComparison.Ordinal);
            try
            {
                return new Token(TokenKind.Integer, Convert.ToInt64(digits, radix).ToString(CultureInfo.InvariantCulture), line);
            }
            catch (Exception e) when (e is FormatException or OverflowException or ArgumentException)
            {
                throw new JinjaException($"'{_source[start.._at]}' is not a number of 64 bits", line);
            }
        }
        TakeWhile(c => char.IsAsciiDigit(c) || c == '_');
        bool isFloat = false;
        if (_at + 1 < _source.Length && _source[_at] == '.' && char.IsAsciiDigit(_source[_at + 1]))
        {
            isFloat = true;
            Advance(_at + 1);
            TakeWhile(c => char.IsAsciiDigit(c) || c == '_');
        }
        int exponent = _at + 1;
        if (_at < _source.Length && _source[_at] is 'e' or 'E')
        {
            if (exponent < _source.Length && _source[exponent] is '+' or '-') exponent++;
            if (exponent < _source.Length && char.IsAsciiDigit(_source[exponent]))
            {
                isFloat = true;
                Advance(exponent);
                TakeWhile(char.IsAsciiDigit);
            }
        }
        return new Token(isFloat ? TokenKind.Float : TokenKind.Integer, _source[start.._at].Replace("_", "", StringComparison.Ordinal), line);
    }

    private string TakeWhile(Func<char, bool> wanted)
    {
        int end = _at;
        while (end < _source.Length && wanted(_source[end])) end++;
        string taken = _source[_at..end];
        Advance(end);
        return taken;
    }

    private void Advance(int to)
    {
        _line += _source.AsSpan(_at, to - _at).Count('\n');
        _at = to;
    }

    private void Add(TokenKind kind, string text, int line)
    {
        if (kind != TokenKind.Text || text.Length > 0) _tokens.Add(new Token(kind, text, line));
    }
}

/// <summary>The escapes of Python's strings.</summary>
internal static class StringLiteral
{
    public static string Unescape(string raw)
    {
        if (!raw.Contains('\\')) return raw;
        var text = new StringBuilder(raw.Length);
        for (int i = 0; i < raw.Length; i++)
        {
            if (raw[i] != '\\' || i + 1 == raw.Length)
            {
                text.Append(raw[i]);
                continue;
            }
            char c = raw[++i];
            switch (c)
            {
                case '\n': break;
                case '\\' or '\'' or '"': text.Append(c); break;
                case 'a': text.Append('\a'); break;
                case 'b': text.Append('\b'); break;
                case 'f': text.Append('\f'); break;
                case 'n': text.Append('\n'); break;
                case 'r': text.Append('\r'); break;
                case 't': text.Append('\t'); break;
                case 'v': text.Append('\v'); break;
                case 'x': i += Code(raw, i + 1, 2, text); break;
                case 'u': i += Code(raw, i + 1, 4, text); break;
                case 'U': i += Code(raw, i + 1, 8, text); break;
                case >= '0' and <= '7': i += Octal(raw, i, text) - 1; break;
                default: text.Append('\\').Append(c); break;     // Python keeps what it does not know
            }
        }
        return text.ToString();
    }

    private static int Code(string raw, int start, int length, StringBuilder text)
    {
        if (start + length > raw.Length || !int.TryParse(raw.AsSpan(start, length), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out int code))
            throw new JinjaException("a string holds a broken escape");
        if (Rune.IsValid(code)) text.Append(new Rune(code));
        else if (code <= 0xFFFF) text.Append((char)code);        // half a pair, which the other half may follow
        else throw new JinjaException("a string holds a broken escape");
        return length;
    }

    private static int Octal(string raw, int start, StringBuilder text)
    {
        int length = 0, code = 0;
        while (length < 3 && start + length < raw.Length && raw[start + length] is >= '0' and <= '7') code = code * 8 + raw[start + length++] - '0';
        text.Append((char)code);
        return length;
    }
}
