using System.Globalization;
using System.Text;

namespace Nibble.Files;

/// <summary>Names that a file brings, made fit for a message: one line, of bounded length, without terminal escapes.</summary>
public static class Quote
{
    private const int Longest = 80;

    /// <summary>The name in single quotes, control and formatting characters escaped, its middle cut out if it is long.</summary>
    public static string Name(string name)
    {
        string shown = name.Length <= Longest ? name : $"{name[..(Longest / 2)]}…{name[^(Longest / 4)..]}";
        var text = new StringBuilder("'");
        foreach (char c in shown)
        {
            if (char.GetUnicodeCategory(c) is UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.Surrogate
                or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator)
                text.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}");
            else
                text.Append(c);
        }
        return text.Append('\'').ToString();
    }
}
