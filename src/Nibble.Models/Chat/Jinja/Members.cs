using System.Globalization;

namespace Nibble.Models.Chat.Jinja;

/// <summary>What stands after a dot or between brackets.</summary>
internal static class Members
{
    /// <summary>value.name: a method of the value, else its entry of that name.</summary>
    public static object? Attribute(object? value, string name) => value switch
    {
        Undefined undefined => throw undefined.Error(),
        Namespace space => space.Values.TryGetValue(name, out object? entry) ? entry : new Undefined($"'{name}' of the namespace"),
        Loop loop => loop.Find(name),
        Callable callable when name == "name" => callable.Name,
        string text when StringMethods.Find(text, name) is { } method => method,
        JinjaDict dict => DictMethod(dict, name) ?? (dict.TryGetValue(name, out object? entry) ? entry : Missing(name)),
        List<object?> list when ListMethod(list, name) is { } method => method,
        _ => Missing(name),
    };

    /// <summary>value[index]: an entry, else a method of that name.</summary>
    public static object? Item(object? value, object? index)
    {
        switch (value)
        {
            case Undefined undefined: throw undefined.Error();
            case JinjaDict dict when index is not null && dict.TryGetValue(index, out object? entry): return entry;
            case string or List<object?> or JinjaTuple when index is long or bool:
                (bool found, object? item) = Sequences.At(value, Operators.ToLong(index));
                return found ? item : new Undefined($"element {Printer.Text(index)} of {Sequences.KindOf(value)}");
        }
        return index is string name ? Attribute(value, name) : Missing(Printer.Text(index));
    }

    /// <summary>A path like "function.name" or "0.role", as filters take it.</summary>
    public static object? AtPath(object? value, object? path)
    {
        if (path is long) return Item(value, path);
        foreach (string step in Printer.Text(path).Split('.'))
            value = Item(value, long.TryParse(step, CultureInfo.InvariantCulture, out long index) ? index : step);
        return value;
    }

    private static Undefined Missing(string name) => new($"'{name}'");

    private static Callable? DictMethod(JinjaDict dict, string name) => name switch
    {
        "items" => new Callable(name, _ => Pairs(dict)),
        "keys" => new Callable(name, _ => dict.Keys.ToList<object?>()),
        "values" => new Callable(name, _ => dict.Values.ToList()),
        "get" => new Callable(name, a => a.Need(0, "key") is { } key && dict.TryGetValue(key, out object? value) ? value : a.Get(1, "default")),
        "copy" => new Callable(name, _ => Copy(dict)),
        _ => null,
    };

    public static List<object?> Pairs(JinjaDict dict) => [.. dict.Select(e => new JinjaTuple([e.Key, e.Value]))];

    private static JinjaDict Copy(JinjaDict dict)
    {
        var copy = new JinjaDict();
        foreach ((object key, object? value) in dict) copy[key] = value;
        return copy;
    }

    private static Callable? ListMethod(List<object?> list, string name) => name switch
    {
        "index" => new Callable(name, a => list.FindIndex(item => Operators.AreEqual(item, a.Need(0, "value"))) is var at and >= 0
            ? (long)at : throw new JinjaException("the value is not in the list")),
        "count" => new Callable(name, a => (long)list.Count(item => Operators.AreEqual(item, a.Need(0, "value")))),
        "copy" => new Callable(name, _ => list.ToList()),
        _ => null,
    };
}
