using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Nibble.Models.Chat.Jinja;

/// <summary>JSON as Python's json.dumps writes it, down to the spaces: models were trained on those.</summary>
internal sealed class JsonText(int? indent, string itemSeparator, string keySeparator, bool ascii, bool sortKeys)
{
    private readonly StringBuilder _text = new();

    /// <summary>The filter tojson, as transformers defines it.</summary>
    public static string Filter(object? value, Arguments arguments)
    {
        long? indent = arguments.Get(1, "indent") is { } width ? Math.Clamp(Operators.ToLong(width), 0, 64) : null;
        List<object?>? separators = arguments.Get(2, "separators") is { } pair ? Sequences.ToList(pair) : null;
        if (separators is not (null or [string, string])) throw new JinjaException("tojson's separators must be two strings");
        var writer = new JsonText((int?)indent, separators?[0] as string ?? (indent is null ? ", " : ","), separators?[1] as string ?? ": ",
            Operators.IsTrue(arguments.Get(0, "ensure_ascii", false)), Operators.IsTrue(arguments.Get(3, "sort_keys", false)));
        writer.Write(value, 0);
        return writer._text.ToString();
    }

    /// <summary>A JSON value as a template sees it.</summary>
    public static object? Parse(JsonElement json) => json.ValueKind switch
    {
        JsonValueKind.String => json.GetString(),
        JsonValueKind.Number => json.TryGetInt64(out long number) ? (object)number : json.GetDouble(),
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        JsonValueKind.Array => json.EnumerateArray().Select(Parse).ToList(),
        JsonValueKind.Object => ToDict(json),
        _ => null,
    };

    private static JinjaDict ToDict(JsonElement json)
    {
        var dict = new JinjaDict();
        foreach (JsonProperty property in json.EnumerateObject()) dict[property.Name] = Parse(property.Value);
        return dict;
    }

    private void Write(object? value, int depth)
    {
        if (depth > 200) throw new JinjaException("a value for tojson is nested too deeply");
        // A list that holds one list twice, and so on, is small until it is written.
        Operators.Sized(_text.Length);
        switch (value)
        {
            case null or bool or long or double: _text.Append(Plain(value)); break;
            case string text: Quote(text); break;
            case List<object?> list: Group('[', ']', list, item => Write(item, depth + 1), depth); break;
            case JinjaTuple tuple: Group('[', ']', tuple.Items, item => Write(item, depth + 1), depth); break;
            case JinjaDict dict:
                IEnumerable<KeyValuePair<object, object?>> entries = sortKeys ? dict.OrderBy(e => Printer.Text(e.Key), StringComparer.Ordinal) : dict;
                Group('{', '}', [.. entries], entry => Entry(entry, depth), depth);
                break;
            default: throw new JinjaException($"{Sequences.KindOf(value)} cannot become JSON");
        }
    }

    private void Entry(KeyValuePair<object, object?> entry, int depth)
    {
        Quote(entry.Key as string ?? Plain(entry.Key));
        _text.Append(keySeparator);
        Write(entry.Value, depth + 1);
    }

    private static string Plain(object? value) => value switch
    {
        null => "null",
        bool flag => flag ? "true" : "false",
        double.PositiveInfinity => "Infinity",
        double.NegativeInfinity => "-Infinity",
        double.NaN => "NaN",
        _ => Printer.Text(value),
    };

    private void Group<T>(char open, char close, IReadOnlyList<T> items, Action<T> write, int depth)
    {
        _text.Append(open);
        for (int i = 0; i < items.Count; i++)
        {
            if (i > 0) _text.Append(itemSeparator);
            if (indent is { } width) _text.Append('\n').Append(' ', width * (depth + 1));
            write(items[i]);
        }
        if (items.Count > 0 && indent is { } last) _text.Append('\n').Append(' ', last * depth);
        _text.Append(close);
    }

    private void Quote(string text)
    {
        _text.Append('"');
        foreach (char c in text)
        {
            switch (c)
            {
                case '"' or '\\': _text.Append('\\').Append(c); break;
                case '\n': _text.Append("\\n"); break;
                case '\r': _text.Append("\\r"); break;
                case '\t': _text.Append("\\t"); break;
                case '\b': _text.Append("\\b"); break;
                case '\f': _text.Append("\\f"); break;
                default:
                    if (c < 0x20 || (ascii && c > 0x7E)) _text.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}");
                    else _text.Append(c);
                    break;
            }
        }
        _text.Append('"');
    }
}
