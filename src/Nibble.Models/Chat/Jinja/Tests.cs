namespace Nibble.Models.Chat.Jinja;

/// <summary>What may follow "is".</summary>
internal static class Tests
{
    private static readonly Dictionary<string, Func<object?, Arguments, bool>> All = new(StringComparer.Ordinal)
    {
        ["boolean"] = (v, _) => v is bool,
        ["callable"] = (v, _) => v is Callable,
        ["defined"] = (v, _) => v is not Undefined,
        ["divisibleby"] = (v, a) => Operators.AreEqual(Operators.Binary("%", v, a.Need(0, "num")), 0L),
        ["eq"] = Equal,
        ["equalto"] = Equal,
        ["even"] = (v, _) => Operators.ToLong(v) % 2 == 0,
        ["false"] = (v, _) => v is false,
        ["filter"] = (v, _) => v is string name && Filters.Exists(name),
        ["float"] = (v, _) => v is double,
        ["ge"] = (v, a) => Operators.Compare(v, a.Need(0, "other")) >= 0,
        ["greaterthan"] = (v, a) => Operators.Compare(v, a.Need(0, "other")) > 0,
        ["gt"] = (v, a) => Operators.Compare(v, a.Need(0, "other")) > 0,
        ["in"] = (v, a) => Operators.Contains(a.Need(0, "seq"), v),
        ["integer"] = (v, _) => v is long,
        ["iterable"] = (v, _) => v is string or List<object?> or JinjaTuple or JinjaDict or Undefined,
        ["le"] = (v, a) => Operators.Compare(v, a.Need(0, "other")) <= 0,
        ["lessthan"] = (v, a) => Operators.Compare(v, a.Need(0, "other")) < 0,
        ["lower"] = (v, _) => StringMethods.IsLower(Printer.Text(v)),
        ["lt"] = (v, a) => Operators.Compare(v, a.Need(0, "other")) < 0,
        ["mapping"] = (v, _) => v is JinjaDict,
        ["ne"] = (v, a) => !Equal(v, a),
        ["none"] = (v, _) => v is null,
        ["number"] = (v, _) => Operators.IsNumber(v),
        ["odd"] = (v, _) => Operators.ToLong(v) % 2 != 0,
        ["sameas"] = (v, a) => a.Need(0, "other") is var other && (ReferenceEquals(v, other) || (v is bool or long && Equals(v, other))),
        ["sequence"] = (v, _) => v is string or List<object?> or JinjaTuple or JinjaDict or Undefined,
        ["string"] = (v, _) => v is string,
        ["test"] = (v, _) => v is string name && Exists(name),
        ["true"] = (v, _) => v is true,
        ["undefined"] = (v, _) => v is Undefined,
        ["upper"] = (v, _) => StringMethods.IsUpper(Printer.Text(v)),
        ["=="] = Equal,
        ["!="] = (v, a) => !Equal(v, a),
    };

    public static bool Exists(string name) => All.ContainsKey(name);

    public static bool Apply(string name, object? value, Arguments arguments) =>
        All.TryGetValue(name, out Func<object?, Arguments, bool>? test) ? test(value, arguments) : throw new JinjaException($"the test '{name}' is not supported");

    private static bool Equal(object? value, Arguments arguments) => Operators.AreEqual(value, arguments.Need(0, "other"));
}
