using System.Buffers;
using System.Text;

namespace Nibble.Models.Chat.Jinja;

/// <summary>The methods of Python's strings.</summary>
internal static class StringMethods
{
    private static readonly SearchValues<char> Spaces = SearchValues.Create(" \t\n\r\f\v");

    public static Callable? Find(string text, string name)
    {
        Func<Arguments, object?>? method = name switch
        {
            "strip" => a => Trim(text, a.Get(0, "chars"), true, true),
            "lstrip" => a => Trim(text, a.Get(0, "chars"), true, false),
            "rstrip" => a => Trim(text, a.Get(0, "chars"), false, true),
            "split" => a => Split(text, a.Get(0, "sep"), a.Get(1, "maxsplit", -1L), fromEnd: false),
            "rsplit" => a => Split(text, a.Get(0, "sep"), a.Get(1, "maxsplit", -1L), fromEnd: true),
            "splitlines" => _ => Lines(text),
            "startswith" => a => Any(a.Need(0, "prefix"), prefix => text.StartsWith(prefix, StringComparison.Ordinal)),
            "endswith" => a => Any(a.Need(0, "suffix"), suffix => text.EndsWith(suffix, StringComparison.Ordinal)),
            "upper" => _ => text.ToUpperInvariant(),
            "lower" => _ => text.ToLowerInvariant(),
            "capitalize" => _ => Capitalize(text),
            "title" => _ => Title(text),
            "replace" => a => Replace(text, Argument(a, 0, "old"), Argument(a, 1, "new"), Operators.ToLong(a.Get(2, "count", -1L))),
            "find" => a => Characters(text, text.IndexOf(Argument(a, 0, "sub"), StringComparison.Ordinal)),
            "rfind" => a => Characters(text, text.LastIndexOf(Argument(a, 0, "sub"), StringComparison.Ordinal)),
            "index" => a => Characters(text, text.IndexOf(Argument(a, 0, "sub"), StringComparison.Ordinal)) is var at and >= 0 ? at : throw new JinjaException("the part is not in the string"),
            "count" => a => Count(text, Argument(a, 0, "sub")),
            "join" => a => Operators.Join(text, Sequences.Iterate(a.Need(0, "iterable")).Select(i => i as string ?? throw new JinjaException($"join takes strings, not {Sequences.KindOf(i)}"))),
            "removeprefix" => a => Argument(a, 0, "prefix") is var prefix && text.StartsWith(prefix, StringComparison.Ordinal) ? text[prefix.Length..] : text,
            "removesuffix" => a => Argument(a, 0, "suffix") is var suffix && text.EndsWith(suffix, StringComparison.Ordinal) ? text[..^suffix.Length] : text,
            "isdigit" => _ => All(text, Rune.IsDigit),
            "isalpha" => _ => All(text, Rune.IsLetter),
            "isalnum" => _ => All(text, r => Rune.IsLetter(r) || Rune.IsNumber(r)),
            "isspace" => _ => All(text, Rune.IsWhiteSpace),
            "islower" => _ => IsLower(text),
            "isupper" => _ => IsUpper(text),
            _ => null,
        };
        return method is null ? null : new Callable(name, method);
    }

    public static string Trim(string text, object? characters, bool left, bool right)
    {
        char[]? set = characters is null ? null : Printer.Text(characters).ToCharArray();
        if (set is { Length: 0 }) return text;
        if (left) text = text.TrimStart(set);
        return right ? text.TrimEnd(set) : text;
    }

    public static string Capitalize(string text) => text.Length == 0 ? text : char.ToUpperInvariant(text[0]) + text[1..].ToLowerInvariant();

    public static bool IsLower(string text) => text.Any(char.IsLower) && !text.Any(char.IsUpper);

    public static bool IsUpper(string text) => text.Any(char.IsUpper) && !text.Any(char.IsLower);

    public static List<object?> Lines(string text)
    {
        List<object?> lines = [.. text.Replace("\r\n", "\n", StringComparison.Ordinal).Replace('\r', '\n').Split('\n')];
        if (lines[^1] is "") lines.RemoveAt(lines.Count - 1);    // a line end ends a line, it does not begin one
        return lines;
    }

    public static string Replace(string text, string old, string replacement, long count)
    {
        if (count == 0) return text;
        if (old.Length == 0) throw new JinjaException("replace cannot look for an empty string");
        Operators.Sized(text.Length + (Int128)Count(text, old) * Math.Max(0, replacement.Length - old.Length));
        if (count < 0) return text.Replace(old, replacement, StringComparison.Ordinal);
        var result = new StringBuilder();
        int at = 0;
        for (int found; count-- > 0 && (found = text.IndexOf(old, at, StringComparison.Ordinal)) >= 0; at = found + old.Length)
            result.Append(text, at, found - at).Append(replacement);
        return result.Append(text, at, text.Length - at).ToString();
    }

    /// <summary>A letter after a letter is small, any other is large.</summary>
    private static string Title(string text)
    {
        var result = new StringBuilder(text.Length);
        bool inWord = false;
        foreach (char c in text)
        {
            result.Append(inWord ? char.ToLowerInvariant(c) : char.ToUpperInvariant(c));
            inWord = char.IsLetter(c);
        }
        return result.ToString();
    }

    private static List<object?> Split(string text, object? separator, object? most, bool fromEnd)
    {
        long limit = Operators.ToLong(most);
        if (separator is null) return SplitAtSpaces(text, limit, fromEnd);
        string at = Printer.Text(separator);
        if (at.Length == 0) throw new JinjaException("split takes no empty separator");
        List<object?> parts = [.. text.Split(at)];
        while (limit >= 0 && parts.Count - 1 > limit)
        {
            int join = fromEnd ? 0 : parts.Count - 2;
            parts[join] = $"{parts[join]}{at}{parts[join + 1]}";
            parts.RemoveAt(join + 1);
        }
        return parts;
    }

    private static List<object?> SplitAtSpaces(string text, long limit, bool fromEnd)
    {
        if (limit < 0) return [.. text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)];
        var parts = new List<object?>();
        string rest = text.Trim();
        while (rest.Length > 0)
        {
            int space = parts.Count >= limit ? -1 : fromEnd ? LastSpace(rest) : FirstSpace(rest);
            string part = space < 0 ? rest : fromEnd ? rest[(space + 1)..] : rest[..space];
            rest = space < 0 ? "" : fromEnd ? rest[..space].TrimEnd() : rest[space..].TrimStart();
            if (fromEnd) parts.Insert(0, part);
            else parts.Add(part);
        }
        return parts;
    }

    private static int FirstSpace(string text) => text.AsSpan().IndexOfAny(Spaces);

    private static int LastSpace(string text) => text.AsSpan().LastIndexOfAny(Spaces);

    private static bool Any(object? options, Func<string, bool> fits) =>
        options is JinjaTuple tuple ? tuple.Items.Any(o => fits(Printer.Text(o))) : fits(options as string ?? throw new JinjaException($"a string must come, not {Sequences.KindOf(options)}"));

    private static bool All(string text, Func<Rune, bool> fits)
    {
        foreach (Rune rune in text.EnumerateRunes()) if (!fits(rune)) return false;
        return text.Length > 0;
    }

    private static long Characters(string text, int units) => units < 0 ? -1 : Sequences.Length(text[..units]);

    private static long Count(string text, string part)
    {
        if (part.Length == 0) return Sequences.Length(text) + 1;
        long count = 0;
        for (int at = 0; (at = text.IndexOf(part, at, StringComparison.Ordinal)) >= 0; at += part.Length) count++;
        return count;
    }

    private static string Argument(Arguments arguments, int index, string name) =>
        arguments.Need(index, name) as string ?? throw new JinjaException($"'{name}' must be a string, not {Sequences.KindOf(arguments.Get(index, name))}");
}
