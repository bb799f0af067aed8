using System.Globalization;
using System.Text;
using Nibble.Core;

namespace Nibble.Models.Tokenizers.PreTokenizers;

/// <summary>
/// Rewrites a regular expression from the syntax of tokenizer.json (Oniguruma's Ruby syntax) to .NET's. What would mean
/// something else in .NET is rewritten; what has no equal is an error, because a pattern half understood makes wrong ids.
/// </summary>
internal sealed class OnigurumaPattern
{
    // Oniguruma's \w is alphabetic characters, marks, decimal digits and connectors; .NET's lacks a few of them.
    private const string Word = @"\p{L}\p{Nl}\p{M}\p{Nd}\p{Pc}\u24B6-\u24E9";

    private readonly string _pattern, _place;
    private readonly StringBuilder _output = new();
    private readonly Stack<(int Start, bool IgnoresCase)> _groups = new();
    private int _at;
    private bool _ignoresCase;
    private int _atom = -1;            // where the last thing that can be repeated begins in the output

    private OnigurumaPattern(string pattern, string place) => (_pattern, _place) = (pattern, place);

    /// <exception cref="UnusableInputException">The pattern uses something that has no equal in .NET.</exception>
    public static string Translate(string pattern, string place) => new OnigurumaPattern(pattern, place).Run();

    private string Run()
    {
        while (_at < _pattern.Length)
        {
            char c = _pattern[_at];
            switch (c)
            {
                case '\\': Atom(Escape(insideClass: false)); break;
                case '[': Atom(CharacterClass()); break;
                case '(': OpenGroup(); break;
                case ')': CloseGroup(); break;
                case '?' or '*' or '+': Quantifier(_at + 1); break;
                case '{' when IntervalEnd() is var end and > 0: Quantifier(end); break;
                // Anchors of lines in Ruby, of the whole text in .NET.
                case '^' or '$': Atom($"(?m:{c})"); _at++; break;
                case '|': _output.Append(c); _atom = -1; _at++; break;
                default:
                    if (char.IsSurrogate(c)) throw Unsupported("a character past U+FFFF");
                    // Without case, s is also the long s for Oniguruma, but not for .NET.
                    Atom(_ignoresCase && c is 's' or 'S' ? @"[s\u017F]" : c.ToString());
                    _at++;
                    break;
            }
        }
        return _output.ToString();
    }

    private void Atom(string text)
    {
        _atom = _output.Length;
        _output.Append(text);
    }

    private void OpenGroup()
    {
        _groups.Push((_output.Length, _ignoresCase));
        if (!Next("(?"))
        {
            _output.Append('(');
            _at++;
            return;
        }
        string[] same = ["(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"];
        if (Array.Find(same, Next) is { } opening)
        {
            _output.Append(opening);
            _at += opening.Length;
            return;
        }
        int end = _pattern.AsSpan(_at).IndexOfAny(':', ')');
        string options = end < 0 ? "" : _pattern.Substring(_at + 2, end - 2);
        // In the middle of an alternation a bare (?i) binds otherwise in .NET.
        bool bare = end > 0 && _pattern[_at + end] == ')';
        if (options is not ("i" or "-i" or "m" or "mi" or "im") || (bare && _at > 0)) throw Unsupported($"the group {_pattern.AsSpan(_at, Math.Min(6, _pattern.Length - _at))}");
        _output.Append(CultureInfo.InvariantCulture, $"(?{options.Replace('m', 's')}{(bare ? ')' : ':')}");
        if (bare) _groups.Pop();
        if (options.Contains('i')) _ignoresCase = options[0] != '-';
        _at += end + 1;
    }

    private void CloseGroup()
    {
        if (_groups.Count == 0) throw Wrong("a ')' closes nothing");
        (_atom, _ignoresCase) = _groups.Pop();
        _output.Append(')');
        _at++;
    }

    /// <summary>One past the closing brace of {n}, {n,}, {,m} or {n,m} here, or 0 where the brace is only a brace.</summary>
    private int IntervalEnd()
    {
        int end = _pattern.IndexOf('}', _at);
        if (end < _at + 2) return 0;
        ReadOnlySpan<char> inside = _pattern.AsSpan(_at + 1, end - _at - 1);
        bool digits = inside.ContainsAnyInRange('0', '9') && !inside.ContainsAnyExceptInRange(',', '9') && !inside.ContainsAny('-', '.', '/');
        return digits && inside.Count(',') <= 1 ? end + 1 : 0;
    }

    private void Quantifier(int end)
    {
        if (_atom < 0) throw Wrong($"'{_pattern[_at]}' repeats nothing");
        string quantifier = _pattern[_at..end];
        bool interval = quantifier[0] == '{';
        if (quantifier.StartsWith("{,", StringComparison.Ordinal)) quantifier = "{0" + quantifier[1..];
        _output.Append(quantifier);
        _at = end;
        if (Next("?"))
        {
            if (interval && !quantifier.Contains(',')) throw Unsupported($"{quantifier}?");
            _output.Append('?');
            _at++;
        }
        else if (Next("+"))
        {
            // "a++" is possessive, which .NET writes as an atomic group; "a{2}+" only repeats in Ruby's syntax.
            _output.Insert(_atom, interval ? "(?:" : "(?>").Append(interval ? ")+" : ")");
            _at++;
        }
        if (_at < _pattern.Length && _pattern[_at] is '?' or '*' or '+') throw Unsupported("a repeated repetition");
    }

    private string CharacterClass()
    {
        var set = new StringBuilder("[");
        _at++;
        if (Next("^"))
        {
            set.Append('^');
            _at++;
        }
        if (Next("]")) throw Unsupported("a class that begins with ']'");
        while (!Next("]"))
        {
            if (_at >= _pattern.Length) throw Wrong("a '[' is not closed");
            char c = _pattern[_at];
            if (c == '[') throw Unsupported("a class within a class");
            if (Next("&&")) throw Unsupported("an intersection of classes (&&)");
            if (char.IsSurrogate(c)) throw Unsupported("a character past U+FFFF");
            if (c == '\\') set.Append(Escape(insideClass: true));
            else
            {
                set.Append(c);
                _at++;
            }
        }
        _at++;
        return set.Append(']').ToString();
    }

    private string Escape(bool insideClass)
    {
        if (_at + 1 >= _pattern.Length) throw Wrong("it ends in a backslash");
        char c = _pattern[_at + 1];
        if (c is 'p' or 'P') return Property(insideClass);
        if (c == 'x' && _at + 2 < _pattern.Length && _pattern[_at + 2] == '{') return CodePoint();
        if (c is 'x' or 'u') return Take(c == 'x' ? 4 : 6);
        if (c is 'w' or 'W')
        {
            if (insideClass && c == 'W') throw Unsupported(@"\W within a class");
            _at += 2;
            return insideClass ? Word : c == 'w' ? $"[{Word}]" : $"[^{Word}]";
        }
        bool known = "dDsSrntfvae".Contains(c) || (!insideClass && "Az".Contains(c)) || !char.IsAsciiLetterOrDigit(c);
        if (!known || char.IsSurrogate(c)) throw Unsupported($@"\{c}");
        return Take(2);
    }

    private string Property(bool insideClass)
    {
        int end = _pattern.IndexOf('}', _at);
        if (end < 0 || _at + 2 >= _pattern.Length || _pattern[_at + 2] != '{') throw Unsupported(@"\p without braces");
        string name = _pattern[(_at + 3)..end];
        bool negated = _pattern[_at + 1] == 'P';
        if (name.StartsWith('^'))
        {
            negated = !negated;
            name = name[1..];
        }
        if (!UnicodeProperties.TryFind(name, out string set)) throw Unsupported($@"\p{{{name}}}");
        if (insideClass && negated && !set.StartsWith(@"\p", StringComparison.Ordinal)) throw Unsupported($@"\P{{{name}}} within a class");
        _at = end + 1;
        if (set.StartsWith(@"\p", StringComparison.Ordinal)) return negated ? @"\P" + set[2..] : set;
        return insideClass ? set : negated ? $"[^{set}]" : $"[{set}]";
    }

    private string CodePoint()
    {
        int end = _pattern.IndexOf('}', _at);
        if (end < 0 || !ushort.TryParse(_pattern.AsSpan(_at + 3, end - _at - 3), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out ushort code))
            throw Unsupported("a character past U+FFFF");
        _at = end + 1;
        return $@"\u{code:X4}";
    }

    private string Take(int length)
    {
        string taken = _pattern.Substring(_at, Math.Min(length, _pattern.Length - _at));
        _at += taken.Length;
        return taken;
    }

    private bool Next(string text) => _pattern.AsSpan(_at).StartsWith(text, StringComparison.Ordinal);

    private UnusableInputException Unsupported(string what) => new($"{_place}: the pattern '{_pattern}' uses {what}, which is not supported");

    private UnusableInputException Wrong(string what) => new($"{_place}: '{_pattern}' is not a regular expression: {what}");
}
