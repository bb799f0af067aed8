using System.Text;

namespace Nibble.Models.Chat.Jinja;

/// <summary>Names and their values; what is not here is looked for outside.</summary>
internal sealed class Scope(Scope? parent, Run run)
{
    private readonly Dictionary<string, object?> _values = new(StringComparer.Ordinal);

    public Run Run => run;

    public object? Find(string name)
    {
        for (Scope? scope = this; scope is not null; scope = scope.Parent)
        {
            if (scope._values.TryGetValue(name, out object? value)) return value;
        }
        return Globals.Find(name, run) ?? (object)new Undefined($"'{name}'");
    }

    public void Set(string name, object? value) => _values[name] = value;

    public Scope Inner() => new(this, run);

    private Scope? Parent => parent;
}

/// <summary>One rendering: what keeps a hostile template from running for ever.</summary>
internal sealed class Run(DateTime now)
{
    private const int MostSteps = 2_000_000, LargestText = 1 << 26;
    private int _steps;

    /// <summary>For strftime_now.</summary>
    public DateTime Now => now;

    /// <summary>The line of the statement that runs, for messages.</summary>
    public int Line { get; set; }

    public void Step(int line, StringBuilder output)
    {
        Line = line;
        if (++_steps > MostSteps) throw new JinjaException("it does not come to an end");
        if (output.Length > LargestText) throw new JinjaException("its text grows without end");
    }
}
