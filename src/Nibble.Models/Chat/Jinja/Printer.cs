using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;

namespace Nibble.Models.Chat.Jinja;

/// <summary>Values as Python's str() and repr() write them.</summary>
internal static class Printer
{
    public static string Text(object? value) => value is string text ? text : value is Undefined ? "" : Representation(value);

    public static string Representation(object? value)
    {
        var text = new StringBuilder();
        Write(value, text);
        return text.ToString();
    }

    private static void Write(object? value, StringBuilder text)
    {
        RuntimeHelpers.EnsureSufficientExecutionStack();
        // A list that holds one list twice, and so on, is small until it is written.
        Operators.Sized(text.Length);
        switch (value)
        {
            case List<object?> list: Group('[', list, item => Write(item, text), "]", text); break;
            case JinjaTuple tuple: Group('(', tuple.Items, item => Write(item, text), tuple.Items.Count == 1 ? ",)" : ")", text); break;
            case JinjaDict dict: Group('{', dict, entry => Write(entry, text), "}", text); break;
            default: text.Append(Single(value)); break;
        }
    }

    private static void Write(KeyValuePair<object, object?> entry, StringBuilder text)
    {
        Write(entry.Key, text);
        text.Append(": ");
        Write(entry.Value, text);
    }

    private static void Group<T>(char open, IEnumerable<T> items, Action<T> write, string close, StringBuilder text)
    {
        text.Append(open);
        bool first = true;
        foreach (T item in items)
        {
            if (!first) text.Append(", ");
            write(item);
            first = false;
        }
        text.Append(close);
    }

    private static string Single(object? value) => value switch
    {
        null => "None",
        bool flag => flag ? "True" : "False",
        long number => number.ToString(CultureInfo.InvariantCulture),
        double number => Float(number),
        string text => Quoted(text),
        Undefined => "Undefined",
        Namespace => "<Namespace>",
        Callable callable => $"<function {callable.Name}>",
        _ => $"<{value.GetType().Name}>",
    };

    /// <summary>The shortest digits that give the number again; with an exponent below 1e-4 and from 1e16 on.</summary>
    public static string Float(double number)
    {
        if (double.IsNaN(number)) return "nan";
        if (double.IsInfinity(number)) return number > 0 ? "inf" : "-inf";
        string scientific = number.ToString("E16", CultureInfo.InvariantCulture);
        string shortest = number.ToString("R", CultureInfo.InvariantCulture);
        int exponent = int.Parse(scientific.AsSpan(scientific.IndexOf('E') + 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);
        int mark = shortest.IndexOf('E');
        string mantissa = mark < 0 ? shortest : shortest[..mark];
        string sign = mantissa.StartsWith('-') ? "-" : "";
        string digits = mantissa.TrimStart('-').Replace(".", "", StringComparison.Ordinal).TrimStart('0').TrimEnd('0');
        if (digits.Length == 0) return sign + "0.0";
        if (exponent is < -4 or >= 16)
        {
            string fraction = digits.Length > 1 ? "." + digits[1..] : "";
            return $"{sign}{digits[0]}{fraction}e{(exponent < 0 ? '-' : '+')}{Math.Abs(exponent).ToString("00", CultureInfo.InvariantCulture)}";
        }
        if (exponent < 0) return $"{sign}0.{new string('0', -exponent - 1)}{digits}";
        string whole = digits.PadRight(exponent + 1, '0');
        return $"{sign}{whole[..(exponent + 1)]}.{(whole.Length > exponent + 1 ? whole[(exponent + 1)..] : "0")}";
    }

    private static string Quoted(string text)
    {
        char quote = text.Contains('\'') && !text.Contains('"') ? '"' : '\'';
        var quoted = new StringBuilder().Append(quote);
        foreach (char c in text)
        {
            if (c == quote || c == '\\') quoted.Append('\\').Append(c);
            else if (c == '\n') quoted.Append("\\n");
            else if (c == '\r') quoted.Append("\\r");
            else if (c == '\t') quoted.Append("\\t");
            else if (c < 0x20 || c is >= '\x7F' and < '\xA1' or '\xAD') quoted.Append(CultureInfo.InvariantCulture, $"\\x{(int)c:x2}");
            else quoted.Append(c);
        }
        return quoted.Append(quote).ToString();
    }
}
