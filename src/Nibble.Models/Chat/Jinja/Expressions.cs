using System.Runtime.CompilerServices;

namespace Nibble.Models.Chat.Jinja;

/// <summary>A part of a template that has a value.</summary>
internal abstract record Expression
{
    public object? Evaluate(Scope scope)
    {
        RuntimeHelpers.EnsureSufficientExecutionStack();
        return Value(scope);
    }

    protected abstract object? Value(Scope scope);
}

internal sealed record Constant(object? Of) : Expression
{
    protected override object? Value(Scope scope) => Of;
}

internal sealed record Name(string Text) : Expression
{
    protected override object? Value(Scope scope) => scope.Find(Text);
}

internal sealed record ListLiteral(IReadOnlyList<Expression> Items) : Expression
{
    protected override object? Value(Scope scope) => Items.Select(i => i.Evaluate(scope)).ToList();
}

internal sealed record TupleLiteral(IReadOnlyList<Expression> Items) : Expression
{
    protected override object? Value(Scope scope) => new JinjaTuple([.. Items.Select(i => i.Evaluate(scope))]);
}

internal sealed record DictLiteral(IReadOnlyList<(Expression Key, Expression Value)> Entries) : Expression
{
    protected override object? Value(Scope scope)
    {
        var dict = new JinjaDict();
        foreach ((Expression key, Expression value) in Entries)
            dict[key.Evaluate(scope) ?? throw new JinjaException("none cannot be a key")] = value.Evaluate(scope);
        return dict;
    }
}

internal sealed record Conditional(Expression Test, Expression Then, Expression? Else) : Expression
{
    protected override object? Value(Scope scope) =>
        Operators.IsTrue(Test.Evaluate(scope)) ? Then.Evaluate(scope) : Else is null ? new Undefined("the missing else of an inline if") : Else.Evaluate(scope);
}

internal sealed record And(Expression Left, Expression Right) : Expression
{
    protected override object? Value(Scope scope) => Left.Evaluate(scope) is var left && Operators.IsTrue(left) ? Right.Evaluate(scope) : left;
}

internal sealed record Or(Expression Left, Expression Right) : Expression
{
    protected override object? Value(Scope scope) => Left.Evaluate(scope) is var left && Operators.IsTrue(left) ? left : Right.Evaluate(scope);
}

internal sealed record Not(Expression Operand) : Expression
{
    protected override object? Value(Scope scope) => !Operators.IsTrue(Operand.Evaluate(scope));
}

internal sealed record Negative(Expression Operand) : Expression
{
    protected override object? Value(Scope scope) => Operators.Negate(Operand.Evaluate(scope));
}

internal sealed record BinaryOperation(string Symbol, Expression Left, Expression Right) : Expression
{
    protected override object? Value(Scope scope) => Operators.Binary(Symbol, Left.Evaluate(scope), Right.Evaluate(scope));
}

internal sealed record Concatenation(IReadOnlyList<Expression> Parts) : Expression
{
    protected override object? Value(Scope scope) => Operators.Join("", Parts.Select(p => Printer.Text(p.Evaluate(scope))));
}

/// <summary>a &lt; b &lt; c is a &lt; b and b &lt; c.</summary>
internal sealed record Comparison(Expression First, IReadOnlyList<(string Symbol, Expression Right)> Rest) : Expression
{
    protected override object? Value(Scope scope)
    {
        object? left = First.Evaluate(scope);
        foreach ((string symbol, Expression expression) in Rest)
        {
            object? right = expression.Evaluate(scope);
            bool holds = symbol switch
            {
                "==" => Operators.AreEqual(left, right),
                "!=" => !Operators.AreEqual(left, right),
                "in" => Operators.Contains(right, left),
                "not in" => !Operators.Contains(right, left),
                "<" => Operators.Compare(left, right) < 0,
                "<=" => Operators.Compare(left, right) <= 0,
                ">" => Operators.Compare(left, right) > 0,
                _ => Operators.Compare(left, right) >= 0,
            };
            if (!holds) return false;
            left = right;
        }
        return true;
    }
}

/// <summary>target.name looks for a method first and then for an entry; target[name] the other way round.</summary>
internal sealed record Member(Expression Target, string Key) : Expression
{
    protected override object? Value(Scope scope) => Members.Attribute(Target.Evaluate(scope), Key);
}

internal sealed record Subscript(Expression Target, Expression Index) : Expression
{
    protected override object? Value(Scope scope) => Members.Item(Target.Evaluate(scope), Index.Evaluate(scope));
}

internal sealed record SliceOf(Expression Target, Expression? Start, Expression? Stop, Expression? Step) : Expression
{
    protected override object? Value(Scope scope) => Sequences.Slice(Target.Evaluate(scope), Bound(Start, scope), Bound(Stop, scope), Bound(Step, scope));

    private static long? Bound(Expression? bound, Scope scope) => bound?.Evaluate(scope) is { } value ? Operators.ToLong(value) : null;
}

/// <summary>Arguments as they are written.</summary>
internal sealed record ArgumentList(IReadOnlyList<Expression> Positional, IReadOnlyList<(string Name, Expression Value)> Named)
{
    public Arguments Evaluate(Scope scope)
    {
        var named = new Dictionary<string, object?>(StringComparer.Ordinal);
        foreach ((string name, Expression value) in Named) named[name] = value.Evaluate(scope);
        return new Arguments([.. Positional.Select(a => a.Evaluate(scope))], named);
    }
}

internal sealed record Call(Expression Target, ArgumentList Arguments) : Expression
{
    protected override object? Value(Scope scope) => Target.Evaluate(scope) switch
    {
        Callable callable => callable.Call(Arguments.Evaluate(scope)),
        Undefined undefined => throw undefined.Error(),
        var other => throw new JinjaException($"{Sequences.KindOf(other)} cannot be called"),
    };
}

internal sealed record Filtered(Expression Operand, string Filter, ArgumentList Arguments) : Expression
{
    protected override object? Value(Scope scope) => Filters.Apply(Filter, Operand.Evaluate(scope), Arguments.Evaluate(scope));
}

internal sealed record Tested(Expression Operand, string Test, ArgumentList Arguments, bool Negated) : Expression
{
    protected override object? Value(Scope scope) => Tests.Apply(Test, Operand.Evaluate(scope), Arguments.Evaluate(scope)) != Negated;
}
