using System.Text;

namespace Nibble.Models.Chat.Jinja;

/// <summary>How a statement ended.</summary>
internal enum Flow
{
    Next,
    Break,
    Continue,
}

/// <summary>A part of a template that writes text or sets names.</summary>
internal abstract record Statement(int Line)
{
    public abstract Flow Render(Scope scope, StringBuilder output);
}

internal sealed record TextStatement(int Line, string Text) : Statement(Line)
{
    public override Flow Render(Scope scope, StringBuilder output)
    {
        output.Append(Text);
        return Flow.Next;
    }
}

internal sealed record PrintStatement(int Line, Expression Value) : Statement(Line)
{
    public override Flow Render(Scope scope, StringBuilder output)
    {
        scope.Run.Step(Line, output);
        output.Append(Printer.Text(Value.Evaluate(scope)));
        return Flow.Next;
    }
}

internal sealed record JumpStatement(int Line, Flow Where) : Statement(Line)
{
    public override Flow Render(Scope scope, StringBuilder output) => Where;
}

/// <summary>Statements in a row.</summary>
internal sealed record Body(IReadOnlyList<Statement> Statements)
{
    public Flow Render(Scope scope, StringBuilder output)
    {
        foreach (Statement statement in Statements)
        {
            if (statement.Render(scope, output) is var flow and not Flow.Next) return flow;
        }
        return Flow.Next;
    }

    public string Text(Scope scope)
    {
        var text = new StringBuilder();
        Render(scope, text);
        return text.ToString();
    }
}

internal sealed record IfStatement(int Line, IReadOnlyList<(Expression Test, Body Then)> Branches, Body? Else) : Statement(Line)
{
    public override Flow Render(Scope scope, StringBuilder output)
    {
        foreach ((Expression test, Body then) in Branches)
        {
            scope.Run.Step(Line, output);
            if (Operators.IsTrue(test.Evaluate(scope))) return then.Render(scope, output);
        }
        return Else?.Render(scope, output) ?? Flow.Next;
    }
}

/// <summary>What is assigned to: a name, a namespace's entry, or a tuple of such.</summary>
internal abstract record Target
{
    public abstract void Assign(Scope scope, object? value);
}

internal sealed record NameTarget(string Name) : Target
{
    public override void Assign(Scope scope, object? value) => scope.Set(Name, value);
}

internal sealed record EntryTarget(string Namespace, string Key) : Target
{
    public override void Assign(Scope scope, object? value)
    {
        if (scope.Find(Namespace) is not Namespace target) throw new JinjaException($"'{Namespace}' is no namespace, so '{Namespace}.{Key}' cannot be set");
        target.Values[Key] = value;
    }
}

internal sealed record TupleTarget(IReadOnlyList<Target> Parts) : Target
{
    public override void Assign(Scope scope, object? value)
    {
        List<object?> values = Sequences.ToList(value);
        if (values.Count != Parts.Count) throw new JinjaException($"{values.Count} values cannot be unpacked into {Parts.Count} names");
        for (int i = 0; i < values.Count; i++) Parts[i].Assign(scope, values[i]);
    }
}

internal sealed record SetStatement(int Line, Target Target, Expression Value) : Statement(Line)
{
    public override Flow Render(Scope scope, StringBuilder output)
    {
        scope.Run.Step(Line, output);
        Target.Assign(scope, Value.Evaluate(scope));
        return Flow.Next;
    }
}

/// <summary>Text rendered in a scope of its own, as a value.</summary>
internal sealed record Captured(Body Body) : Expression
{
    protected override object? Value(Scope scope) => Body.Text(scope.Inner());
}

/// <summary>with: names for a stretch of the template. Without names, a scope only.</summary>
internal sealed record WithStatement(int Line, IReadOnlyList<(Target Target, Expression Value)> Names, Body Body) : Statement(Line)
{
    public override Flow Render(Scope scope, StringBuilder output)
    {
        Scope inner = scope.Inner();
        foreach ((Target target, Expression value) in Names) target.Assign(inner, value.Evaluate(scope));
        return Body.Render(inner, output);
    }
}

internal sealed record ForStatement(int Line, Target Target, Expression Items, Expression? Filter, Body Body, Body? Else) : Statement(Line)
{
    public override Flow Render(Scope scope, StringBuilder output)
    {
        List<object?> items = Sequences.ToList(Items.Evaluate(scope));
        if (Filter is not null) items = [.. items.Where(item => Passes(scope, item))];
        if (items.Count == 0) return Else?.Render(scope.Inner(), output) ?? Flow.Next;
        for (int i = 0; i < items.Count; i++)
        {
            Scope inner = scope.Inner();
            scope.Run.Step(Line, output);
            inner.Set("loop", new Loop(items, i));
            Target.Assign(inner, items[i]);
            if (Body.Render(inner, output) == Flow.Break) break;
        }
        return Flow.Next;
    }

    private bool Passes(Scope scope, object? item)
    {
        Scope inner = scope.Inner();
        Target.Assign(inner, item);
        return Operators.IsTrue(Filter!.Evaluate(inner));
    }
}

/// <summary>The loop variable.</summary>
internal sealed record Loop(List<object?> Items, int Index)
{
    public object? Find(string name) => name switch
    {
        "index" => Index + 1L,
        "index0" => (long)Index,
        "revindex" => (long)Items.Count - Index,
        "revindex0" => Items.Count - Index - 1L,
        "first" => Index == 0,
        "last" => Index == Items.Count - 1,
        "length" => (long)Items.Count,
        "depth" => 1L,                                   // only recursive loops go deeper
        "depth0" => 0L,
        "previtem" => Index > 0 ? Items[Index - 1] : new Undefined("the item before the first"),
        "nextitem" => Index + 1 < Items.Count ? Items[Index + 1] : new Undefined("the item after the last"),
        "cycle" => new Callable("cycle", a => a.Positional.Count > 0 ? a.Positional[Index % a.Positional.Count] : throw new JinjaException("cycle needs values")),
        _ => new Undefined($"'loop.{name}'"),
    };
}

internal sealed record MacroStatement(int Line, string Name, IReadOnlyList<(string Name, Expression? Default)> Parameters, Body Body) : Statement(Line)
{
    public override Flow Render(Scope scope, StringBuilder output)
    {
        scope.Set(Name, new Callable(Name, arguments => Expand(scope, arguments)));
        return Flow.Next;
    }

    /// <summary>The macro's text. It sees what its definition sees, as that is now.</summary>
    private string Expand(Scope definition, Arguments arguments)
    {
        if (arguments.Positional.Count > Parameters.Count) throw new JinjaException($"the macro '{Name}' takes not more than {Parameters.Count} arguments");
        foreach (string name in arguments.Named.Keys)
            if (!Parameters.Any(p => p.Name == name)) throw new JinjaException($"the macro '{Name}' takes no argument '{name}'");
        int line = definition.Run.Line;
        Scope inner = definition.Inner();
        for (int i = 0; i < Parameters.Count; i++)
        {
            (string name, Expression? missing) = Parameters[i];
            bool given = i < arguments.Positional.Count || arguments.Named.ContainsKey(name);
            inner.Set(name, given ? arguments.Get(i, name) : missing is null ? new Undefined($"the argument '{name}'") : missing.Evaluate(inner));
        }
        string text = Body.Text(inner);
        definition.Run.Line = line;
        return text;
    }
}
