using Nibble.Core;

namespace Nibble.Cli;

/// <summary>Lists as a person writes a grid: <c>Linear{2,3}-{g32,row},NF4</c> is five names.</summary>
internal static class GridList
{
    private const int Most = 1000;

    /// <exception cref="UnusableInputException">A brace is not closed, or there are too many names.</exception>
    public static IReadOnlyList<string> Expand(string list)
    {
        string[] names = [.. Split(list, list).Where(n => n.Length > 0).SelectMany(name => Braces(name, list))];
        return names.Length <= Most ? names : throw new UnusableInputException($"'{list}' is {names.Length} names; at most {Most}");
    }

    /// <summary>A name for each choice of its first braces, and so on with the others.</summary>
    private static IEnumerable<string> Braces(string name, string list)
    {
        int open = name.IndexOf('{', StringComparison.Ordinal), close = name.IndexOf('}', StringComparison.Ordinal);
        if (open < 0) return [name];
        if (close < open || name.IndexOf('{', open + 1) is var inner && inner >= 0 && inner < close) throw Wrong(list);
        return name[(open + 1)..close].Split(',').SelectMany(choice => Braces(name[..open] + choice + name[(close + 1)..], list));
    }

    /// <summary>Cuts at the commas that stand in no braces.</summary>
    private static IEnumerable<string> Split(string text, string list)
    {
        int depth = 0, start = 0;
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] == '{') depth++;
            else if (text[i] == '}') depth--;
            if (depth < 0) throw Wrong(list);
            if (text[i] != ',' || depth > 0) continue;
            yield return text[start..i].Trim();
            start = i + 1;
        }
        if (depth > 0) throw Wrong(list);
        yield return text[start..].Trim();
    }

    private static UnusableInputException Wrong(string list) =>
        new($"'{list}': braces are not closed, or stand in braces; write Linear{{2,3}}-{{g32,row}}");
}
