using System.Runtime.CompilerServices;

namespace Nibble.Models.Chat.Jinja;

/// <summary>Reads a template's statements.</summary>
internal sealed class TemplateParser
{
    private readonly TokenStream _tokens;
    private readonly ExpressionParser _expressions;
    private int _loops;

    private TemplateParser(TokenStream tokens) => (_tokens, _expressions) = (tokens, new ExpressionParser(tokens));

    /// <exception cref="JinjaException">The template is wrong, or uses what is not supported.</exception>
    public static Body Parse(string source)
    {
        var tokens = new TokenStream(Lexer.Read(source));
        Body body = new TemplateParser(tokens).Until([], "");
        return tokens.Current.Kind == TokenKind.End ? body : throw tokens.Unexpected("the end");
    }

    /// <summary>Statements up to a block that begins with one of these names, whose name is then the next token.</summary>
    private Body Until(string[] ends, string opened)
    {
        RuntimeHelpers.EnsureSufficientExecutionStack();
        int line = _tokens.Line;
        List<Statement> statements = [];
        while (true)
        {
            Token token = _tokens.Take();
            switch (token.Kind)
            {
                case TokenKind.Text:
                    statements.Add(new TextStatement(token.Line, token.Text));
                    break;
                case TokenKind.PrintBegin:
                    statements.Add(new PrintStatement(token.Line, _expressions.ExpressionOrTuple()));
                    _tokens.Expect(TokenKind.PrintEnd);
                    break;
                case TokenKind.BlockBegin:
                    if (_tokens.Current.Kind == TokenKind.Name && ends.Contains(_tokens.Current.Text)) return new Body(statements);
                    statements.Add(Block(token.Line));
                    break;
                default:
                    return ends.Length == 0 ? new Body(statements) : throw new JinjaException($"'{opened}' is not closed", line);
            }
        }
    }

    private Statement Block(int line)
    {
        string name = _tokens.ExpectName();
        return name switch
        {
            "if" => If(line),
            "for" => For(line),
            "set" => Set(line),
            "macro" => Macro(line),
            "with" => With(line),
            "filter" => Filter(line),
            "generation" => Closed(new WithStatement(line, [], Contents("endgeneration", name))),
            "break" or "continue" when _loops == 0 => throw new JinjaException($"'{name}' stands outside a loop", line),
            "break" => Closed(new JumpStatement(line, Flow.Break)),
            "continue" => Closed(new JumpStatement(line, Flow.Continue)),
            _ => throw new JinjaException($"the statement '{name}' is not supported here", line),
        };
    }

    /// <summary>What stands between the end of this block and a block of that name, which is taken too.</summary>
    private Body Contents(string end, string opened)
    {
        _tokens.Expect(TokenKind.BlockEnd);
        Body body = Until([end], opened);
        _tokens.ExpectName(end);
        return body;
    }

    private Statement Closed(Statement statement)
    {
        _tokens.Expect(TokenKind.BlockEnd);
        return statement;
    }

    private IfStatement If(int line)
    {
        List<(Expression, Body)> branches = [];
        Body? otherwise = null;
        do
        {
            Expression test = _expressions.ExpressionOrTuple(conditional: true);
            _tokens.Expect(TokenKind.BlockEnd);
            branches.Add((test, Until(["elif", "else", "endif"], "if")));
        }
        while (_tokens.SkipName("elif"));
        if (_tokens.SkipName("else"))
        {
            _tokens.Expect(TokenKind.BlockEnd);
            otherwise = Until(["endif"], "if");
        }
        _tokens.ExpectName("endif");
        _tokens.Expect(TokenKind.BlockEnd);
        return new IfStatement(line, branches, otherwise);
    }

    private ForStatement For(int line)
    {
        Target target = Targets("in");
        _tokens.ExpectName("in");
        Expression items = _expressions.ExpressionOrTuple(conditional: false);
        Expression? filter = _tokens.SkipName("if") ? _expressions.Expression() : null;
        if (_tokens.IsName("recursive")) throw new JinjaException("recursive loops are not supported", line);
        _tokens.Expect(TokenKind.BlockEnd);
        _loops++;
        Body body = Until(["else", "endfor"], "for");
        _loops--;
        Body? otherwise = null;
        if (_tokens.SkipName("else"))
        {
            _tokens.Expect(TokenKind.BlockEnd);
            otherwise = Until(["endfor"], "for");
        }
        _tokens.ExpectName("endfor");
        _tokens.Expect(TokenKind.BlockEnd);
        return new ForStatement(line, target, items, filter, body, otherwise);
    }

    private SetStatement Set(int line)
    {
        Target target = Targets("=");
        if (_tokens.SkipSymbol("="))
        {
            Expression value = _expressions.ExpressionOrTuple();
            _tokens.Expect(TokenKind.BlockEnd);
            return new SetStatement(line, target, value);
        }
        // The filters come before the text that they apply to.
        Expression chain = _expressions.FilterChain(new Constant(null));
        Body body = Contents("endset", "set");
        _tokens.Expect(TokenKind.BlockEnd);
        return new SetStatement(line, target, Replaced(chain, new Captured(body)));
    }

    /// <summary>A chain of filters with its innermost operand exchanged.</summary>
    private static Expression Replaced(Expression chain, Expression innermost)
    {
        RuntimeHelpers.EnsureSufficientExecutionStack();
        return chain is Filtered filtered ? filtered with { Operand = Replaced(filtered.Operand, innermost) } : innermost;
    }

    private PrintStatement Filter(int line)
    {
        Expression chain = _expressions.FilterChain(_expressions.Filter(new Constant(null)));
        Body body = Contents("endfilter", "filter");
        _tokens.Expect(TokenKind.BlockEnd);
        return new PrintStatement(line, Replaced(chain, new Captured(body)));
    }

    private Statement With(int line)
    {
        List<(Target, Expression)> names = [];
        while (_tokens.Current.Kind != TokenKind.BlockEnd)
        {
            if (names.Count > 0) _tokens.ExpectSymbol(",");
            Target target = OneTarget();
            _tokens.ExpectSymbol("=");
            names.Add((target, _expressions.Expression()));
        }
        return Closed(new WithStatement(line, names, Contents("endwith", "with")));
    }

    private Statement Macro(int line)
    {
        string name = _tokens.ExpectName();
        _tokens.ExpectSymbol("(");
        List<(string, Expression?)> parameters = [];
        while (!_tokens.SkipSymbol(")"))
        {
            if (parameters.Count > 0) _tokens.ExpectSymbol(",");
            string parameter = _tokens.ExpectName();
            parameters.Add((parameter, _tokens.SkipSymbol("=") ? _expressions.Expression() : null));
        }
        (int loops, _loops) = (_loops, 0);
        Body body = Contents("endmacro", "macro");
        _loops = loops;
        return Closed(new MacroStatement(line, name, parameters, body));
    }

    private Target Targets(string end)
    {
        List<Target> targets = [OneTarget()];
        bool isTuple = false;
        while (_tokens.SkipSymbol(","))
        {
            isTuple = true;
            if (_tokens.IsName(end) || _tokens.IsSymbol(end)) break;
            targets.Add(OneTarget());
        }
        return isTuple ? new TupleTarget(targets) : targets[0];
    }

    private Target OneTarget()
    {
        if (_tokens.SkipSymbol("("))
        {
            Target inside = Targets(")");
            _tokens.ExpectSymbol(")");
            return inside;
        }
        string name = _tokens.ExpectName();
        return _tokens.SkipSymbol(".") ? new EntryTarget(name, _tokens.ExpectName()) : new NameTarget(name);
    }
}
