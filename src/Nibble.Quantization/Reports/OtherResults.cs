using System.Globalization;
using Nibble.Core;

namespace Nibble.Quantization.Reports;

/// <summary>What another program reached: a model of so many bytes, and how far it diverges from the same reference.</summary>
/// <param name="Name">The recipe, and how it was made where the table says it.</param>
/// <param name="Bytes">Of the file.</param>
/// <param name="Divergence">Mean KL divergence, nats.</param>
public sealed record OtherResult(string Name, long Bytes, double Divergence);

/// <summary>A table of other people's results, to be drawn beside a report's own.</summary>
/// <param name="Name">The file's.</param>
/// <param name="Remark">The table's own first line of explanation, or empty.</param>
/// <param name="Results">At least one.</param>
public sealed record OtherResults(string Name, string Remark, IReadOnlyList<OtherResult> Results)
{
    /// <summary>
    /// Reads lines of fields between tabs: comments begin with <c>#</c>, the first other line names the columns, of which
    /// <c>recipe</c>, <c>bytes</c> and <c>mean_kl</c> are read, and <c>importance</c> where there is one.
    /// </summary>
    /// <param name="path">For messages.</param>
    /// <param name="text">The file's contents.</param>
    /// <exception cref="UnusableInputException">A column is missing, or a number cannot be read.</exception>
    public static OtherResults Parse(string path, string text)
    {
        string[] lines = text.Split('\n', StringSplitOptions.TrimEntries);
        string remark = lines.FirstOrDefault(l => l.StartsWith('#'))?.TrimStart('#', ' ') ?? "";
        (string[] Fields, int Line)[] rows = [.. lines.Select((l, i) => (Text: l, Line: i + 1)).Where(l => l.Text.Length > 0 && l.Text[0] != '#').Select(l => (l.Text.Split('\t'), l.Line))];
        if (rows.Length < 2) throw new UnusableInputException($"{path}: has no rows under a line that names the columns; it needs recipe, bytes and mean_kl, tabs between them");
        string[] header = rows[0].Fields;
        int recipe = Column("recipe"), bytes = Column("bytes"), divergence = Column("mean_kl"), importance = Array.IndexOf(header, "importance");
        return new OtherResults(Path.GetFileName(path), remark, [.. rows.Skip(1).Select(Read)]);

        int Column(string name) => Array.IndexOf(header, name) is >= 0 and var at ? at
            : throw new UnusableInputException($"{path}: line {rows[0].Line} names no column '{name}'; it needs recipe, bytes and mean_kl, tabs between them");

        OtherResult Read((string[] Fields, int Line) row)
        {
            if (row.Fields.Length != header.Length)
                throw new UnusableInputException($"{path}: line {row.Line} has {row.Fields.Length} fields, and the columns are {header.Length}; put one tab between fields");
            if (!long.TryParse(row.Fields[bytes], NumberStyles.None, CultureInfo.InvariantCulture, out long size) || size == 0
                || !double.TryParse(row.Fields[divergence], NumberStyles.Float, CultureInfo.InvariantCulture, out double kl) || !double.IsFinite(kl) || kl < 0)
                throw new UnusableInputException($"{path}: line {row.Line}: bytes '{row.Fields[bytes]}' and mean_kl '{row.Fields[divergence]}' must be a whole number and a number not below 0");
            return new OtherResult(importance < 0 ? row.Fields[recipe] : $"{row.Fields[recipe]} ({row.Fields[importance]})", size, kl);
        }
    }
}
