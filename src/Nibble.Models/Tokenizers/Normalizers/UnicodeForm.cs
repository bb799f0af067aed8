using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace Nibble.Models.Tokenizers.Normalizers;

/// <summary>
/// Unicode's normal forms (Unicode Standard Annex 15). Our own, because .NET leaves normalization to the system's ICU
/// library, and without it returns every text unchanged and says nothing.
/// </summary>
/// <param name="compose">Whether letters and marks are put together again: NFC and NFKC.</param>
/// <param name="compatibility">Whether ligatures, widths and the like go too: NFKC and NFKD.</param>
public sealed class UnicodeForm(bool compose, bool compatibility) : Normalizer
{
    // Hangul syllables are composed by arithmetic: 19 leading consonants, 21 vowels, 27 trailing consonants or none.
    private const int Syllables = 0xAC00, Leading = 0x1100, Vowels = 0x1161, Trailing = 0x11A7;
    private const int VowelCount = 21, TrailingCount = 28, SyllableCount = 19 * VowelCount * TrailingCount;

    private static readonly Lazy<Table> Data = new(Table.Load);

    public override string Apply(string text)
    {
        // Below these no character changes in the form that composes.
        char limit = compatibility ? '\u00A0' : compose ? '\u0300' : '\u00C0';
        if (!text.AsSpan().ContainsAnyExceptInRange('\0', (char)(limit - 1))) return text;
        var points = new List<int>(text.Length);
        foreach (Rune rune in text.EnumerateRunes()) Decompose(rune.Value, points);
        Order(points);
        if (compose) Compose(points);
        var result = new StringBuilder(points.Count);
        foreach (int point in points) result.Append(new Rune(point));
        return result.ToString();
    }

    private void Decompose(int point, List<int> points)
    {
        int syllable = point - Syllables;
        if ((uint)syllable < SyllableCount)
        {
            points.Add(Leading + syllable / (VowelCount * TrailingCount));
            points.Add(Vowels + syllable % (VowelCount * TrailingCount) / TrailingCount);
            if (syllable % TrailingCount != 0) points.Add(Trailing + syllable % TrailingCount);
        }
        else if (Data.Value.Parts.TryGetValue(point, out Decomposition parts) && (compatibility || !parts.CompatibilityOnly))
        {
            foreach (int part in parts.Points) Decompose(part, points);
        }
        else
        {
            points.Add(point);
        }
    }

    /// <summary>Marks in a row are sorted by combining class, equals staying in order.</summary>
    private static void Order(List<int> points)
    {
        for (int start = 0, end; start < points.Count; start = end + 1)
        {
            for (end = start; end < points.Count && Data.Value.Class(points[end]) != 0;) end++;
            if (end - start < 2) continue;
            int[] sorted = [.. points[start..end].OrderBy(Data.Value.Class)];
            sorted.CopyTo(CollectionsMarshal.AsSpan(points)[start..end]);
        }
    }

    private static void Compose(List<int> points)
    {
        int starter = -1, kept = 0, lastClass = 0;
        for (int i = 0; i < points.Count; i++)
        {
            int point = points[i];
            int combining = Data.Value.Class(point);
            // A mark reaches the starter unless one of the same or a higher class stands between.
            bool reaches = starter >= 0 && (starter == kept - 1 ? lastClass == 0 : lastClass < combining && lastClass != 0);
            if (reaches && Composite(points[starter], point) is var composite and > 0)
            {
                points[starter] = composite;
                continue;
            }
            if (combining == 0) starter = kept;
            lastClass = combining;
            points[kept++] = point;
        }
        points.RemoveRange(kept, points.Count - kept);
    }

    private static int Composite(int first, int second)
    {
        if ((uint)(first - Leading) < 19 && (uint)(second - Vowels) < VowelCount)
            return Syllables + ((first - Leading) * VowelCount + second - Vowels) * TrailingCount;
        if ((uint)(first - Syllables) < SyllableCount && (first - Syllables) % TrailingCount == 0 && (uint)(second - Trailing - 1) < TrailingCount - 1)
            return first + second - Trailing;
        return Data.Value.Composites.GetValueOrDefault((first, second));
    }

    private readonly record struct Decomposition(int[] Points, bool CompatibilityOnly);

    private sealed record Table(Dictionary<int, Decomposition> Parts, Dictionary<(int First, int Second), int> Composites, Dictionary<int, int> Classes)
    {
        public int Class(int point) => point < 0x300 ? 0 : Classes.GetValueOrDefault(point);

        /// <summary>Reads normalization.txt, which make.py beside it makes and explains.</summary>
        public static Table Load()
        {
            var table = new Table([], [], []);
            using Stream stream = typeof(UnicodeForm).Assembly.GetManifestResourceStream("normalization.txt")!;
            using var reader = new StreamReader(stream);
            while (reader.ReadLine() is { } line)
            {
                string[] fields = line.Split(';');
                int point = Hexadecimal(fields[0]);
                if (fields[1].Length > 0) table.Classes[point] = int.Parse(fields[1], CultureInfo.InvariantCulture);
                if (fields[2].Length == 0) continue;
                int[] points = [.. fields[2].TrimStart('~', '!').Split(' ').Select(Hexadecimal)];
                table.Parts[point] = new Decomposition(points, fields[2][0] == '~');
                if (fields[2][0] is not ('~' or '!')) table.Composites[(points[0], points[1])] = point;
            }
            return table;
        }

        private static int Hexadecimal(string number) => int.Parse(number, NumberStyles.HexNumber, CultureInfo.InvariantCulture);
    }
}
