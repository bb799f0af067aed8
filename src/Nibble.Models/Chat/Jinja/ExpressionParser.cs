using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;

namespace Nibble.Models.Chat.Jinja;

/// <summary>Reads expressions, with Jinja's order of operators.</summary>
internal sealed class ExpressionParser(TokenStream tokens)
{
    private static readonly ArgumentList NoArguments = new([], []);

    public Expression Expression()
    {
        RuntimeHelpers.EnsureSufficientExecutionStack();
        Expression then = Disjunction();
        while (tokens.SkipName("if"))
        {
            Expression test = Disjunction();
            then = new Conditional(test, then, tokens.SkipName("else") ? Expression() : null);
        }
        return then;
    }

    /// <summary>An expression, or several with commas between as a tuple.</summary>
    public Expression ExpressionOrTuple(bool conditional = true)
    {
        Expression first = conditional ? Expression() : Disjunction();
        if (!tokens.IsSymbol(",")) return first;
        List<Expression> items = [first];
        while (tokens.SkipSymbol(",") && !AtEnd()) items.Add(conditional ? Expression() : Disjunction());
        return new TupleLiteral(items);
    }

    private bool AtEnd() => tokens.Current.Kind is TokenKind.BlockEnd or TokenKind.PrintEnd or TokenKind.End || tokens.IsSymbol(")") || tokens.IsSymbol("=");

    /// <summary>An expression without an inline if, for places where 'if' means something else.</summary>
    public Expression Disjunction()
    {
        Expression left = Conjunction();
        while (tokens.SkipName("or")) left = new Or(left, Conjunction());
        return left;
    }

    private Expression Conjunction()
    {
        Expression left = Negation();
        while (tokens.SkipName("and")) left = new And(left, Negation());
        return left;
    }

    private Expression Negation()
    {
        RuntimeHelpers.EnsureSufficientExecutionStack();
        return tokens.SkipName("not") ? new Not(Negation()) : Compared();
    }

    private Expression Compared()
    {
        Expression first = Sum();
        List<(string, Expression)> rest = [];
        while (true)
        {
            if (tokens.Current is { Kind: TokenKind.Symbol, Text: "==" or "!=" or "<" or "<=" or ">" or ">=" }) rest.Add((tokens.Take().Text, Sum()));
            else if (tokens.SkipName("in")) rest.Add(("in", Sum()));
            else if (tokens.IsName("not") && tokens.Following is { Kind: TokenKind.Name, Text: "in" })
            {
                tokens.Take();
                tokens.Take();
                rest.Add(("not in", Sum()));
            }
            else return rest.Count == 0 ? first : new Comparison(first, rest);
        }
    }

    private Expression Sum()
    {
        Expression left = Joined();
        while (tokens.IsSymbol("+") || tokens.IsSymbol("-")) left = new BinaryOperation(tokens.Take().Text, left, Joined());
        return left;
    }

    private Expression Joined()
    {
        Expression first = Product();
        if (!tokens.IsSymbol("~")) return first;
        List<Expression> parts = [first];
        while (tokens.SkipSymbol("~")) parts.Add(Product());
        return new Concatenation(parts);
    }

    private Expression Product()
    {
        Expression left = Power();
        while (tokens.Current is { Kind: TokenKind.Symbol, Text: "*" or "/" or "//" or "%" }) left = new BinaryOperation(tokens.Take().Text, left, Power());
        return left;
    }

    private Expression Power()
    {
        Expression left = Unary(filters: true);
        while (tokens.SkipSymbol("**")) left = new BinaryOperation("**", left, Unary(filters: true));
        return left;
    }

    private Expression Unary(bool filters)
    {
        RuntimeHelpers.EnsureSufficientExecutionStack();
        Expression operand = tokens.SkipSymbol("-") ? new Negative(Unary(filters: false))
            : tokens.SkipSymbol("+") ? Unary(filters: false) : Primary();
        operand = Postfix(operand);
        return filters ? FiltersAndTests(operand) : operand;
    }

    private Expression Primary()
    {
        Token token = tokens.Take();
        switch (token.Kind)
        {
            case TokenKind.Name:
                return token.Text switch
                {
                    "true" or "True" => new Constant(true),
                    "false" or "False" => new Constant(false),
                    "none" or "None" => new Constant(null),
                    _ => new Name(token.Text),
                };
            case TokenKind.String:
                var text = new StringBuilder(token.Text);
                while (tokens.Current.Kind == TokenKind.String) text.Append(tokens.Take().Text);
                return new Constant(text.ToString());
            case TokenKind.Integer:
                return new Constant(long.TryParse(token.Text, NumberStyles.None, CultureInfo.InvariantCulture, out long number) ? number
                    : throw new JinjaException($"{token.Text} passes 64 bits", token.Line));
            case TokenKind.Float:
                return new Constant(double.Parse(token.Text, CultureInfo.InvariantCulture));
            case TokenKind.Symbol when token.Text == "(":
                return Parenthesis();
            case TokenKind.Symbol when token.Text == "[":
                return new ListLiteral(Items("]"));
            case TokenKind.Symbol when token.Text == "{":
                return Dictionary();
            default:
                throw new JinjaException(token.Kind is TokenKind.PrintEnd or TokenKind.BlockEnd or TokenKind.End ? "an expression is missing" : $"'{token.Text}' makes no sense here", token.Line);
        }
    }

    private Expression Parenthesis()
    {
        if (tokens.SkipSymbol(")")) return new TupleLiteral([]);
        Expression inside = ExpressionOrTuple();
        tokens.ExpectSymbol(")");
        return inside;
    }

    private List<Expression> Items(string close)
    {
        List<Expression> items = [];
        while (!tokens.SkipSymbol(close))
        {
            if (items.Count > 0)
            {
                tokens.ExpectSymbol(",");
                if (tokens.SkipSymbol(close)) break;
            }
            items.Add(Expression());
        }
        return items;
    }

    private DictLiteral Dictionary()
    {
        List<(Expression, Expression)> entries = [];
        while (!tokens.SkipSymbol("}"))
        {
            if (entries.Count > 0)
            {
                tokens.ExpectSymbol(",");
                if (tokens.SkipSymbol("}")) break;
            }
            Expression key = Expression();
            tokens.ExpectSymbol(":");
            entries.Add((key, Expression()));
        }
        return new DictLiteral(entries);
    }

    private Expression Postfix(Expression operand)
    {
        while (true)
        {
            if (tokens.SkipSymbol("."))
            {
                Token name = tokens.Take();
                operand = name.Kind switch
                {
                    TokenKind.Name => new Member(operand, name.Text),
                    TokenKind.Integer => new Subscript(operand, new Constant(long.Parse(name.Text, CultureInfo.InvariantCulture))),
                    _ => throw new JinjaException($"'{name.Text}' stands where a name must come", name.Line),
                };
            }
            else if (tokens.SkipSymbol("[")) operand = Indexed(operand);
            else if (tokens.SkipSymbol("(")) operand = new Call(operand, Arguments());
            else return operand;
        }
    }

    private Expression Indexed(Expression operand)
    {
        Expression? start = tokens.IsSymbol(":") ? null : Expression();
        if (start is not null && tokens.SkipSymbol("]")) return new Subscript(operand, start);
        tokens.ExpectSymbol(":");
        Expression? stop = tokens.IsSymbol(":") || tokens.IsSymbol("]") ? null : Expression();
        Expression? step = tokens.SkipSymbol(":") && !tokens.IsSymbol("]") ? Expression() : null;
        tokens.ExpectSymbol("]");
        return new SliceOf(operand, start, stop, step);
    }

    private ArgumentList Arguments()
    {
        List<Expression> positional = [];
        List<(string, Expression)> named = [];
        while (!tokens.SkipSymbol(")"))
        {
            if (positional.Count + named.Count > 0)
            {
                tokens.ExpectSymbol(",");
                if (tokens.SkipSymbol(")")) break;
            }
            if (tokens.IsSymbol("*") || tokens.IsSymbol("**")) throw new JinjaException("arguments from a list (*) are not supported", tokens.Line);
            if (tokens.Current.Kind == TokenKind.Name && tokens.Following is { Kind: TokenKind.Symbol, Text: "=" })
            {
                string name = tokens.Take().Text;
                tokens.Take();
                named.Add((name, Expression()));
            }
            else if (named.Count > 0) throw new JinjaException("an argument without a name comes after one with a name", tokens.Line);
            else positional.Add(Expression());
        }
        return new ArgumentList(positional, named);
    }

    private Expression FiltersAndTests(Expression operand)
    {
        while (true)
        {
            if (tokens.IsSymbol("|")) operand = FilterChain(operand);
            else if (tokens.SkipName("is")) operand = Test(operand);
            else if (tokens.SkipSymbol("(")) operand = new Call(operand, Arguments());
            else return operand;
        }
    }

    /// <summary>Filters one after the other; the first bar is still to come.</summary>
    public Expression FilterChain(Expression operand)
    {
        while (tokens.SkipSymbol("|")) operand = Filter(operand);
        return operand;
    }

    /// <summary>One filter, after its bar.</summary>
    public Expression Filter(Expression operand)
    {
        int line = tokens.Line;
        string name = tokens.ExpectName();
        if (!Filters.Exists(name)) throw new JinjaException($"the filter '{name}' is not supported", line);
        return new Filtered(operand, name, tokens.SkipSymbol("(") ? Arguments() : NoArguments);
    }

    private Tested Test(Expression operand)
    {
        bool negated = tokens.SkipName("not");
        int line = tokens.Line;
        string name = tokens.ExpectName();
        if (!Tests.Exists(name)) throw new JinjaException($"the test '{name}' is not supported", line);
        ArgumentList arguments = NoArguments;
        if (tokens.SkipSymbol("(")) arguments = Arguments();
        else if (BeginsArgument()) arguments = new ArgumentList([Postfix(Primary())], []);
        return new Tested(operand, name, arguments, negated);
    }

    /// <summary>A test may have its argument without parentheses: x is divisibleby 3.</summary>
    private bool BeginsArgument() => tokens.Current.Kind switch
    {
        TokenKind.Name => tokens.Current.Text is not ("else" or "or" or "and" or "if" or "is" or "in" or "not"),
        TokenKind.String or TokenKind.Integer or TokenKind.Float => true,
        TokenKind.Symbol => tokens.Current.Text is "[" or "{",
        _ => false,
    };
}
