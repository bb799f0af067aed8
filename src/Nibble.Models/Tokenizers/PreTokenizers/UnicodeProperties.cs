using System.Collections.Frozen;

namespace Nibble.Models.Tokenizers.PreTokenizers;

/// <summary>What may stand in \p{...}: general categories, and the few scripts that published patterns name.</summary>
internal static class UnicodeProperties
{
    private static readonly FrozenDictionary<string, string> Categories = new Dictionary<string, string>
    {
        ["letter"] = "L",
        ["uppercaseletter"] = "Lu",
        ["lowercaseletter"] = "Ll",
        ["titlecaseletter"] = "Lt",
        ["modifierletter"] = "Lm",
        ["otherletter"] = "Lo",
        ["mark"] = "M",
        ["nonspacingmark"] = "Mn",
        ["spacingmark"] = "Mc",
        ["enclosingmark"] = "Me",
        ["number"] = "N",
        ["decimalnumber"] = "Nd",
        ["letternumber"] = "Nl",
        ["othernumber"] = "No",
        ["punctuation"] = "P",
        ["connectorpunctuation"] = "Pc",
        ["dashpunctuation"] = "Pd",
        ["openpunctuation"] = "Ps",
        ["closepunctuation"] = "Pe",
        ["initialpunctuation"] = "Pi",
        ["finalpunctuation"] = "Pf",
        ["otherpunctuation"] = "Po",
        ["symbol"] = "S",
        ["mathsymbol"] = "Sm",
        ["currencysymbol"] = "Sc",
        ["modifiersymbol"] = "Sk",
        ["othersymbol"] = "So",
        ["separator"] = "Z",
        ["spaceseparator"] = "Zs",
        ["lineseparator"] = "Zl",
        ["paragraphseparator"] = "Zp",
        ["other"] = "C",
        ["control"] = "Cc",
        ["format"] = "Cf",
        ["privateuse"] = "Co",
        ["unassigned"] = "Cn",
    }.ToFrozenDictionary();

    private static readonly FrozenSet<string> Short = Categories.Values.ToFrozenSet(StringComparer.OrdinalIgnoreCase);

    // Characters past U+FFFF come through CategoryShadow, which has an ideograph stand for ideographs.
    private static readonly FrozenDictionary<string, string> Scripts = new Dictionary<string, string>
    {
        ["han"] = @"\u2E80-\u2E99\u2E9B-\u2EF3\u2F00-\u2FD5\u3005\u3007\u3021-\u3029\u3038-\u303B\u3400-\u4DBF\u4E00-\u9FFF\uF900-\uFA6D\uFA70-\uFAD9",
    }.ToFrozenDictionary();

    /// <summary>A category as \p{X}, a script as the inside of a class.</summary>
    public static bool TryFind(string name, out string set)
    {
        // Names are compared without case, spaces, hyphens and underscores (Unicode Standard Annex 44, 5.9.2).
        string plain = name.Replace("_", "", StringComparison.Ordinal).Replace("-", "", StringComparison.Ordinal)
            .Replace(" ", "", StringComparison.Ordinal).ToLowerInvariant();
        if (Scripts.TryGetValue(plain, out set!)) return true;
        string? category = Categories.GetValueOrDefault(plain) ?? Short.FirstOrDefault(s => s.Equals(plain, StringComparison.OrdinalIgnoreCase));
        set = $@"\p{{{category}}}";
        return category is not null;
    }
}
