using System.Globalization;
using System.Text;

namespace Nibble.Models.Chat.Jinja;

/// <summary>Iterating, indexing and slicing. A string's elements are characters, also those past U+FFFF.</summary>
internal static class Sequences
{
    public static IEnumerable<object?> Iterate(object? value) => value switch
    {
        List<object?> list => list,
        JinjaTuple tuple => tuple.Items,
        JinjaDict dict => dict.Keys,
        string text => Characters(text),
        Undefined => [],
        _ => throw new JinjaException($"{KindOf(value)} cannot be iterated"),
    };

    public static List<object?> ToList(object? value) => [.. Iterate(value)];

    public static long Length(object? value) => value switch
    {
        string text => CharacterCount(text),
        List<object?> list => list.Count,
        JinjaTuple tuple => tuple.Items.Count,
        JinjaDict dict => dict.Count,
        Undefined => 0,
        _ => throw new JinjaException($"{KindOf(value)} has no length"),
    };

    /// <summary>One element, or null where there is none.</summary>
    public static (bool Found, object? Value) At(object? value, long index)
    {
        if (value is string text && !text.AsSpan().ContainsAnyInRange('\uD800', '\uDFFF'))
        {
            if (index < 0) index += text.Length;
            return index >= 0 && index < text.Length ? (true, text[(int)index].ToString()) : (false, null);
        }
        IReadOnlyList<object?> items = value switch { List<object?> list => list, JinjaTuple tuple => tuple.Items, _ => ToList(value) };
        if (index < 0) index += items.Count;
        return index >= 0 && index < items.Count ? (true, items[(int)index]) : (false, null);
    }

    /// <summary>Python's slices: negative places count from the end, and places outside are cut off.</summary>
    public static object? Slice(object? value, long? start, long? stop, long? step)
    {
        if (value is Undefined undefined) throw undefined.Error();
        if (value is not (string or List<object?> or JinjaTuple)) throw new JinjaException($"{KindOf(value)} cannot be sliced");
        long by = step ?? 1;
        if (by == 0) throw new JinjaException("a slice's step is zero");
        IReadOnlyList<object?> items = value switch { List<object?> list => list, JinjaTuple tuple => tuple.Items, _ => ToList(value) };
        long count = items.Count, low = by > 0 ? 0 : -1, high = by > 0 ? count : count - 1;
        long from = start is { } s ? Math.Clamp(s < 0 ? s + count : s, low, high) : by > 0 ? low : high;
        long to = stop is { } e ? Math.Clamp(e < 0 ? e + count : e, low, high) : by > 0 ? high : low;
        var taken = new List<object?>();
        for (Int128 i = from; by > 0 ? i < to : i > to; i += by) taken.Add(items[(int)i]);
        return value switch { string => string.Concat(taken), JinjaTuple => new JinjaTuple(taken), _ => taken };
    }

    public static string Reverse(string text)
    {
        List<object?> characters = ToList(text);
        characters.Reverse();
        return string.Concat(characters);
    }

    /// <summary>A value's type, for messages.</summary>
    public static string KindOf(object? value) => value switch
    {
        null => "none",
        bool => "a boolean",
        long => "an integer",
        double => "a float",
        string => "a string",
        List<object?> => "a list",
        JinjaTuple => "a tuple",
        JinjaDict => "a mapping",
        Undefined => "an undefined value",
        Namespace => "a namespace",
        _ => "a function",
    };

    private static int CharacterCount(string text)
    {
        int pairs = 0;
        for (int i = 0; i + 1 < text.Length; i++) if (char.IsSurrogatePair(text[i], text[i + 1])) pairs++;
        return text.Length - pairs;
    }

    private static IEnumerable<object?> Characters(string text)
    {
        for (int i = 0; i < text.Length;)
        {
            int length = i + 1 < text.Length && char.IsSurrogatePair(text[i], text[i + 1]) ? 2 : 1;
            yield return text.Substring(i, length);
            i += length;
        }
    }
}
