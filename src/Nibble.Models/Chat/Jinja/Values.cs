namespace Nibble.Models.Chat.Jinja;

// Values are Python's, as .NET objects: null is None; bool, long, double and string are themselves; a list is a
// List<object?>; the rest is below.

/// <summary>A value that is not there. It prints as nothing, is false and empty, and any other use of it is an error.</summary>
internal sealed class Undefined(string description)
{
    public JinjaException Error() => new($"{description} is undefined");
}

/// <summary>A tuple.</summary>
internal sealed record JinjaTuple(IReadOnlyList<object?> Items);

/// <summary>A dictionary: keys in the order of their arrival; 1, 1.0 and true are one key.</summary>
internal sealed class JinjaDict : OrderedDictionary<object, object?>
{
    public JinjaDict() : base(KeyComparer.Instance) { }

    private sealed class KeyComparer : IEqualityComparer<object>
    {
        public static readonly KeyComparer Instance = new();

        public new bool Equals(object? a, object? b) => Operators.AreEqual(a, b);

        public int GetHashCode(object key) => key switch
        {
            bool flag => flag ? 1.0.GetHashCode() : 0.0.GetHashCode(),
            long number => ((double)number).GetHashCode(),
            JinjaTuple tuple => tuple.Items.Count,
            _ => key.GetHashCode(),
        };
    }
}

/// <summary>What namespace() makes: the one thing that a loop's body can change for those outside.</summary>
internal sealed class Namespace
{
    public Dictionary<string, object?> Values { get; } = new(StringComparer.Ordinal);
}

/// <summary>The arguments of a call, a filter or a test.</summary>
internal sealed record Arguments(IReadOnlyList<object?> Positional, IReadOnlyDictionary<string, object?> Named)
{
    public static Arguments None { get; } = new([], new Dictionary<string, object?>());

    public int Count => Positional.Count + Named.Count;

    /// <summary>An argument by its place or its name.</summary>
    public object? Get(int index, string name, object? missing = null) =>
        index < Positional.Count ? Positional[index] : Named.GetValueOrDefault(name, missing);

    public object? Need(int index, string name) =>
        index < Positional.Count || Named.ContainsKey(name) ? Get(index, name) : throw new JinjaException($"the argument '{name}' is missing");

    /// <summary>The same without the first.</summary>
    public Arguments Skip(int count) => new([.. Positional.Skip(count)], Named);
}

/// <summary>Something that a template can call.</summary>
internal sealed record Callable(string Name, Func<Arguments, object?> Call);
