using System.Runtime.ExceptionServices;

namespace Nibble.Models.Chat.Jinja;

/// <summary>The filters on sequences.</summary>
internal static class SequenceFilters
{
    public static object? End(object? value, bool first)
    {
        List<object?> items = Sequences.ToList(value);
        return items.Count == 0 ? new Undefined("the end of an empty sequence") : first ? items[0] : items[^1];
    }

    public static object? Join(object? value, Arguments arguments)
    {
        IEnumerable<object?> items = Sequences.Iterate(value);
        if (arguments.Get(1, "attribute") is { } path) items = items.Select(item => Members.AtPath(item, path));
        return Operators.Join(Printer.Text(arguments.Get(0, "d", "")), items.Select(Printer.Text));
    }

    /// <summary>Each item's attribute, or each item through another filter.</summary>
    public static object? Map(object? value, Arguments arguments)
    {
        IEnumerable<object?> items = Sequences.Iterate(value);
        if (arguments.Positional.Count == 0)
        {
            object? path = arguments.Need(0, "attribute"), missing = arguments.Named.GetValueOrDefault("default");
            return items.Select(item => Members.AtPath(item, path) is var found && found is Undefined && missing is not null ? missing : found).ToList();
        }
        string filter = Printer.Text(arguments.Positional[0]);
        Arguments rest = arguments.Skip(1);
        return items.Select(item => Filters.Apply(filter, item, rest)).ToList();
    }

    /// <summary>The items that pass a test, or whose attribute does; without a test, those that are true.</summary>
    public static object? Select(object? value, Arguments arguments, bool keep, bool byAttribute)
    {
        object? path = byAttribute ? arguments.Need(0, "attribute") : null;
        if (byAttribute) arguments = arguments.Skip(1);
        string? test = arguments.Positional.Count > 0 ? Printer.Text(arguments.Positional[0]) : null;
        Arguments rest = arguments.Skip(1);
        return Sequences.Iterate(value).Where(item =>
        {
            object? tested = byAttribute ? Members.AtPath(item, path) : item;
            return (test is null ? Operators.IsTrue(tested) : Tests.Apply(test, tested, rest)) == keep;
        }).ToList();
    }

    public static object? Sort(object? value, Arguments arguments)
    {
        bool reverse = Operators.IsTrue(arguments.Get(0, "reverse", false)), cased = Operators.IsTrue(arguments.Get(1, "case_sensitive", false));
        object? attribute = arguments.Get(2, "attribute");
        string[] paths = attribute is null ? [] : Printer.Text(attribute).Split(',');
        return Ordered(Sequences.Iterate(value), item => paths.Length == 0 ? Key(item, cased)
            : new JinjaTuple([.. paths.Select(path => Key(Members.AtPath(item, path.Trim()), cased))]), reverse);
    }

    public static object? DictSort(object? value, Arguments arguments)
    {
        if (value is not JinjaDict dict) throw new JinjaException($"dictsort takes a mapping, not {Sequences.KindOf(value)}");
        bool cased = Operators.IsTrue(arguments.Get(0, "case_sensitive", false)), reverse = Operators.IsTrue(arguments.Get(2, "reverse", false));
        int part = Printer.Text(arguments.Get(1, "by", "key")) == "value" ? 1 : 0;
        return Ordered(Members.Pairs(dict), pair => Key(((JinjaTuple)pair!).Items[part], cased), reverse);
    }

    public static object? Extreme(object? value, Arguments arguments, int sign)
    {
        bool cased = Operators.IsTrue(arguments.Get(0, "case_sensitive", false));
        object? path = arguments.Get(1, "attribute"), best = new Undefined("the extreme of an empty sequence");
        bool any = false;
        foreach (object? item in Sequences.Iterate(value))
        {
            if (any && Operators.Compare(Of(item), Of(best)) * sign <= 0) continue;
            (best, any) = (item, true);
        }
        return best;

        object? Of(object? item) => Key(path is null ? item : Members.AtPath(item, path), cased);
    }

    public static object? Sum(object? value, Arguments arguments)
    {
        object? path = arguments.Get(0, "attribute"), sum = arguments.Get(1, "start", 0L);
        foreach (object? item in Sequences.Iterate(value)) sum = Operators.Binary("+", sum, path is null ? item : Members.AtPath(item, path));
        return sum;
    }

    public static object? Unique(object? value, Arguments arguments)
    {
        bool cased = Operators.IsTrue(arguments.Get(0, "case_sensitive", false));
        object? path = arguments.Get(1, "attribute");
        var seen = new List<object?>();
        var unique = new List<object?>();
        foreach (object? item in Sequences.Iterate(value))
        {
            object? key = Key(path is null ? item : Members.AtPath(item, path), cased);
            if (seen.Any(other => Operators.AreEqual(other, key))) continue;
            seen.Add(key);
            unique.Add(item);
        }
        return unique;
    }

    /// <summary>Equals keep their order, also when reversed, as in Python.</summary>
    private static List<object?> Ordered(IEnumerable<object?> items, Func<object?, object?> key, bool reverse)
    {
        Comparer<object?> comparer = Comparer<object?>.Create(Operators.Compare);
        try
        {
            return [.. reverse ? items.OrderByDescending(key, comparer) : items.OrderBy(key, comparer)];
        }
        catch (InvalidOperationException e) when (e.InnerException is { } thrown)     // sorting wraps what its comparison throws
        {
            ExceptionDispatchInfo.Throw(thrown);
            throw;
        }
    }

    private static object? Key(object? value, bool cased) => value is string text && !cased ? text.ToLowerInvariant() : value;
}
