using System.Globalization;
using System.Text;

namespace Nibble.Models.Chat.Jinja;

/// <summary>The filters on single values; those on sequences are in <see cref="SequenceFilters"/>.</summary>
internal static class Filters
{
    private delegate object? Filter(object? value, Arguments arguments);

    private static readonly Dictionary<string, Filter> All = new(StringComparer.Ordinal)
    {
        ["abs"] = (v, _) => v is double number ? (object)Math.Abs(number) : Math.Abs(Operators.ToLong(v)),
        ["capitalize"] = (v, _) => StringMethods.Capitalize(Printer.Text(v)),
        ["count"] = (v, _) => Sequences.Length(v),
        ["d"] = Default,
        ["default"] = Default,
        ["dictsort"] = SequenceFilters.DictSort,
        ["e"] = (v, _) => Escape(Printer.Text(v)),
        ["escape"] = (v, _) => Escape(Printer.Text(v)),
        ["first"] = (v, _) => SequenceFilters.End(v, first: true),
        ["float"] = (v, a) => ToFloat(v) ?? a.Get(0, "default", 0.0),
        ["indent"] = Indent,
        ["int"] = Int,
        ["items"] = (v, _) => v switch { Undefined => new List<object?>(), JinjaDict dict => Members.Pairs(dict), _ => throw new JinjaException($"items takes a mapping, not {Sequences.KindOf(v)}") },
        ["join"] = SequenceFilters.Join,
        ["last"] = (v, _) => SequenceFilters.End(v, first: false),
        ["length"] = (v, _) => Sequences.Length(v),
        ["list"] = (v, _) => Sequences.ToList(v),
        ["lower"] = (v, _) => Printer.Text(v).ToLowerInvariant(),
        ["map"] = SequenceFilters.Map,
        ["max"] = (v, a) => SequenceFilters.Extreme(v, a, 1),
        ["min"] = (v, a) => SequenceFilters.Extreme(v, a, -1),
        ["reject"] = (v, a) => SequenceFilters.Select(v, a, keep: false, byAttribute: false),
        ["rejectattr"] = (v, a) => SequenceFilters.Select(v, a, keep: false, byAttribute: true),
        ["replace"] = (v, a) => StringMethods.Replace(Printer.Text(v), Printer.Text(a.Need(0, "old")), Printer.Text(a.Need(1, "new")), Operators.ToLong(a.Get(2, "count") ?? -1L)),
        ["reverse"] = (v, _) => v is string text ? Sequences.Reverse(text) : Enumerable.Reverse(Sequences.ToList(v)).ToList(),
        ["round"] = Round,
        ["safe"] = (v, _) => Printer.Text(v),
        ["select"] = (v, a) => SequenceFilters.Select(v, a, keep: true, byAttribute: false),
        ["selectattr"] = (v, a) => SequenceFilters.Select(v, a, keep: true, byAttribute: true),
        ["sort"] = SequenceFilters.Sort,
        ["string"] = (v, _) => Printer.Text(v),
        ["sum"] = SequenceFilters.Sum,
        ["title"] = (v, _) => Title(Printer.Text(v)),
        ["tojson"] = JsonText.Filter,
        ["trim"] = (v, a) => StringMethods.Trim(Printer.Text(v), a.Get(0, "chars"), true, true),
        ["unique"] = SequenceFilters.Unique,
        ["upper"] = (v, _) => Printer.Text(v).ToUpperInvariant(),
        ["wordcount"] = (v, _) => (long)Printer.Text(v).Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Length,
    };

    public static bool Exists(string name) => All.ContainsKey(name);

    public static object? Apply(string name, object? value, Arguments arguments) =>
        All.TryGetValue(name, out Filter? filter) ? filter(value, arguments) : throw new JinjaException($"the filter '{name}' is not supported");

    private static object? Default(object? value, Arguments arguments) =>
        value is Undefined || (!Operators.IsTrue(value) && Operators.IsTrue(arguments.Get(1, "boolean", false))) ? arguments.Get(0, "default_value", "") : value;

    private static string Escape(string text)
    {
        var result = new StringBuilder(text.Length);
        foreach (char c in text)
        {
            result.Append(c switch { '&' => "&amp;", '<' => "&lt;", '>' => "&gt;", '\'' => "&#39;", '"' => "&#34;", _ => c.ToString() });
        }
        return result.ToString();
    }

    private static string Indent(object? value, Arguments arguments)
    {
        object? width = arguments.Get(0, "width", 4L);
        bool first = Operators.IsTrue(arguments.Get(1, "first", false)), blank = Operators.IsTrue(arguments.Get(2, "blank", false));
        string indentation = width as string ?? new string(' ', (int)Math.Clamp(Operators.ToLong(width), 0, 1000));
        List<object?> lines = StringMethods.Lines(Printer.Text(value) + "\n");
        var result = new StringBuilder();
        for (int i = 0; i < lines.Count; i++)
        {
            if (i > 0) result.Append('\n');
            string line = (string)lines[i]!;
            if (i == 0 ? first : blank || line.Length > 0) result.Append(indentation);
            result.Append(line);
        }
        return result.ToString();
    }

    private static object? Int(object? value, Arguments arguments)
    {
        long radix = Operators.ToLong(arguments.Get(1, "base", 10L));
        if (value is string text && radix is 2 or 8 or 16)
        {
            try
            {
                return Convert.ToInt64(text.Trim(), (int)radix);
            }
            catch (Exception e) when (e is FormatException or OverflowException or ArgumentException)
            {
                return arguments.Get(0, "default", 0L);
            }
        }
        if (value is long or bool) return Operators.ToLong(value);
        if (value is string digits && long.TryParse(digits.Trim(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long whole)) return whole;
        return ToFloat(value) is double number && Math.Abs(number) < 9.2e18 ? (long)number : arguments.Get(0, "default", 0L);
    }

    private static object? ToFloat(object? value) => value switch
    {
        string text => double.TryParse(text.Trim(), NumberStyles.Float, CultureInfo.InvariantCulture, out double number) ? number : null,
        long or bool or double => Operators.ToDouble(value),
        _ => null,
    };

    private static object Round(object? value, Arguments arguments)
    {
        int digits = (int)Math.Clamp(Operators.ToLong(arguments.Get(0, "precision", 0L)), 0, 15);
        double number = Operators.ToDouble(value), scale = Math.Pow(10, digits);
        string method = Printer.Text(arguments.Get(1, "method", "common"));
        if (value is long or bool && method == "common") return Operators.ToLong(value);
        return method switch
        {
            "common" => Math.Round(number, digits, MidpointRounding.ToEven),
            "ceil" => Math.Ceiling(number * scale) / scale,
            "floor" => Math.Floor(number * scale) / scale,
            _ => throw new JinjaException("round's method must be common, ceil or floor"),
        };
    }

    /// <summary>Large letters after spaces, hyphens and opening brackets; small ones elsewhere.</summary>
    private static string Title(string text)
    {
        var result = new StringBuilder(text.Length);
        bool begins = true;
        foreach (char c in text)
        {
            bool separates = char.IsWhiteSpace(c) || "-({[<".Contains(c);
            result.Append(begins ? char.ToUpperInvariant(c) : char.ToLowerInvariant(c));
            begins = separates;
        }
        return result.ToString();
    }
}
