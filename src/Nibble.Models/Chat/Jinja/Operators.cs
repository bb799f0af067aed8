using System.Collections;
using System.Runtime.CompilerServices;
using System.Text;

namespace Nibble.Models.Chat.Jinja;

/// <summary>Python's operators.</summary>
internal static class Operators
{
    private const int LargestResult = 1 << 24;           // elements: a template must not eat the memory

    public static bool IsTrue(object? value) => value switch
    {
        null or Undefined => false,
        bool flag => flag,
        long number => number != 0,
        double number => number != 0,
        string text => text.Length > 0,
        JinjaTuple tuple => tuple.Items.Count > 0,
        ICollection items => items.Count > 0,
        _ => true,
    };

    public static bool AreEqual(object? a, object? b)
    {
        RuntimeHelpers.EnsureSufficientExecutionStack();
        if (IsNumber(a) && IsNumber(b)) return a is double || b is double ? ToDouble(a) == ToDouble(b) : ToLong(a) == ToLong(b);
        return (a, b) switch
        {
            (null, null) or (Undefined, Undefined) => true,
            (string x, string y) => x == y,
            (List<object?> x, List<object?> y) => SameItems(x, y),
            (JinjaTuple x, JinjaTuple y) => SameItems(x.Items, y.Items),
            (JinjaDict x, JinjaDict y) => x.Count == y.Count && x.All(e => y.TryGetValue(e.Key, out object? other) && AreEqual(e.Value, other)),
            _ => a is not null && ReferenceEquals(a, b),
        };
    }

    private static bool SameItems(IReadOnlyList<object?> x, IReadOnlyList<object?> y)
    {
        if (x.Count != y.Count) return false;
        for (int i = 0; i < x.Count; i++) if (!AreEqual(x[i], y[i])) return false;
        return true;
    }

    /// <summary>Below zero, zero or above, as a comes before b.</summary>
    public static int Compare(object? a, object? b)
    {
        RuntimeHelpers.EnsureSufficientExecutionStack();
        if (IsNumber(a) && IsNumber(b)) return a is double || b is double ? ToDouble(a).CompareTo(ToDouble(b)) : ToLong(a).CompareTo(ToLong(b));
        return (a, b) switch
        {
            (string x, string y) => string.CompareOrdinal(x, y),
            (List<object?> x, List<object?> y) => CompareItems(x, y),
            (JinjaTuple x, JinjaTuple y) => CompareItems(x.Items, y.Items),
            _ => throw Unfit("order", a, b),
        };
    }

    private static int CompareItems(IReadOnlyList<object?> x, IReadOnlyList<object?> y)
    {
        for (int i = 0; i < Math.Min(x.Count, y.Count); i++)
        {
            if (!AreEqual(x[i], y[i])) return Compare(x[i], y[i]);
        }
        return x.Count.CompareTo(y.Count);
    }

    public static bool Contains(object? container, object? item) => container switch
    {
        string text => item is string part ? text.Contains(part, StringComparison.Ordinal) : throw Unfit("look in", container, item),
        JinjaDict dict => item is not null && dict.ContainsKey(item),
        _ => Sequences.Iterate(container).Any(other => AreEqual(other, item)),
    };

    public static object? Binary(string symbol, object? a, object? b)
    {
        if (a is Undefined u) throw u.Error();
        if (b is Undefined v) throw v.Error();
        if (symbol == "+") return Add(a, b);
        if (symbol == "*" && (Repeated(a, b) ?? Repeated(b, a)) is { } repeated) return repeated;
        if (!IsNumber(a) || !IsNumber(b)) throw Unfit($"apply '{symbol}' to", a, b);
        return a is double || b is double || symbol == "/" || (symbol == "**" && ToLong(b) < 0)
            ? (object)OfDoubles(symbol, ToDouble(a), ToDouble(b)) : OfIntegers(symbol, ToLong(a), ToLong(b));
    }

    private static object? Add(object? a, object? b) => (a, b) switch
    {
        (string x, string y) => Sized(x.Length + (long)y.Length) > 0 ? x + y : "",
        (List<object?> x, List<object?> y) => Sized(x.Count + (long)y.Count) > 0 ? [.. x, .. y] : new List<object?>(),
        (JinjaTuple x, JinjaTuple y) => Sized(x.Items.Count + (long)y.Items.Count) > 0 ? new JinjaTuple([.. x.Items, .. y.Items]) : x,
        (double x, _) when IsNumber(b) => x + ToDouble(b),
        (_, double y) when IsNumber(a) => ToDouble(a) + y,
        _ when IsNumber(a) && IsNumber(b) => OfIntegers("+", ToLong(a), ToLong(b)),
        _ => throw Unfit("add", a, b),
    };

    private static object? Repeated(object? sequence, object? times)
    {
        if (times is not (long or bool)) return null;
        long count = Math.Max(0, ToLong(times));
        switch (sequence)
        {
            case string text:
                Sized((Int128)text.Length * count);
                return string.Concat(Enumerable.Repeat(text, (int)(text.Length == 0 ? 0 : count)));
            case List<object?> list:
                Sized((Int128)list.Count * count);
                return Enumerable.Repeat(list, (int)(list.Count == 0 ? 0 : count)).SelectMany(x => x).ToList();
            default:
                return null;
        }
    }

    /// <summary>The strings one after the other, with a separator between them.</summary>
    public static string Join(string separator, IEnumerable<string> parts)
    {
        var text = new StringBuilder();
        bool first = true;
        foreach (string part in parts)
        {
            Sized((long)text.Length + separator.Length + part.Length);
            text.Append(first ? "" : separator).Append(part);
            first = false;
        }
        return text.ToString();
    }

    /// <summary>The length of a value, if it may be as long.</summary>
    /// <exception cref="JinjaException">It may not.</exception>
    public static long Sized(Int128 length) => length <= LargestResult ? (long)length : throw new JinjaException($"a value grows past {LargestResult} elements");

    private static double OfDoubles(string symbol, double a, double b) => symbol switch
    {
        "-" => a - b,
        "*" => a * b,
        "**" => Math.Pow(a, b),
        _ when b == 0 => throw new JinjaException("division by zero"),
        "/" => a / b,
        "//" => Math.Floor(a / b),
        _ => a - Math.Floor(a / b) * b,
    };

    private static long OfIntegers(string symbol, long a, long b) => symbol switch
    {
        "+" => checked(a + b),
        "-" => checked(a - b),
        "*" => checked(a * b),
        "**" => Power(a, b),
        _ when b == 0 => throw new JinjaException("division by zero"),
        "//" => b == -1 ? checked(-a) : a / b - (a % b != 0 && a < 0 != b < 0 ? 1 : 0),
        _ => b == -1 ? 0 : a % b + (a % b != 0 && a < 0 != b < 0 ? b : 0),
    };

    private static long Power(long value, long exponent)
    {
        long result = 1;
        for (; exponent > 0; exponent >>= 1)
        {
            if ((exponent & 1) != 0) result = checked(result * value);
            if (exponent > 1) value = checked(value * value);
        }
        return result;
    }

    public static object? Negate(object? value) => value switch
    {
        double number => (object)-number,
        long or bool => checked(-ToLong(value)),
        Undefined undefined => throw undefined.Error(),
        _ => throw new JinjaException($"cannot negate {Sequences.KindOf(value)}"),
    };

    public static bool IsNumber(object? value) => value is bool or long or double;

    public static double ToDouble(object? value) => value is double number ? number : ToLong(value);

    /// <summary>An integer, for arguments too: anything else is an error.</summary>
    public static long ToLong(object? value) => value switch
    {
        long number => number,
        bool flag => flag ? 1 : 0,
        Undefined undefined => throw undefined.Error(),
        _ => throw new JinjaException($"{Sequences.KindOf(value)} is not a whole number"),
    };

    private static JinjaException Unfit(string verb, object? a, object? b) =>
        (a as Undefined ?? b as Undefined)?.Error() ?? new($"cannot {verb} {Sequences.KindOf(a)} and {Sequences.KindOf(b)}");
}
