namespace Nibble.Core.Formats;

/// <summary>
/// Names: <c>Linear4</c> is the default (zero points, groups of 64, F16 scales; one bit is symmetric); words after dashes
/// change it, in any order: <c>sym</c>, <c>zero</c> or <c>min</c>; <c>g32</c>, <c>row</c> or <c>tensor</c>; <c>f32</c>,
/// <c>f16</c>, <c>bf16</c>, <c>s8</c>, <c>s8row</c> or <c>p2</c>. <c>Fixed8</c> stands for <c>Linear8-sym-p2</c>.
/// </summary>
public sealed partial class LinearFormat
{
    private static readonly (string Word, LinearKind Kind)[] Kinds =
        [("sym", LinearKind.Symmetric), ("zero", LinearKind.ZeroPoint), ("min", LinearKind.Minimum)];

    private static LinearKind DefaultKind(int bits) => bits == 1 ? LinearKind.Symmetric : LinearKind.ZeroPoint;

    private string MakeName()
    {
        var name = new FormatName(IsFixedPoint ? $"Fixed{Bits}" : $"Linear{Bits}");
        if (!IsFixedPoint && Kind != DefaultKind(Bits)) name.Add(Array.Find(Kinds, k => k.Kind == Kind).Word);
        if (Granularity != DefaultGranularity) name.Add(Granularity.ToString());
        if (!IsFixedPoint && Scale != ScaleType.F16) name.Add(Scale.Word());
        return name.ToString();
    }

    /// <summary>The format that a name describes, or null if it is not the name of a linear format.</summary>
    /// <exception cref="UnusableInputException">It is, but its words are unknown or do not go together.</exception>
    public static LinearFormat? TryParse(string name)
    {
        var words = new FormatName.Reader(name);
        bool isFixed = words.Takes("fixed");
        if ((!isFixed && !words.Takes("linear")) || !words.TakesNumber(1, 8, out int bits)) return null;
        LinearKind kind = isFixed ? LinearKind.Symmetric : DefaultKind(bits);
        Granularity granularity = DefaultGranularity;
        ScaleType scale = isFixed ? ScaleType.PowerOfTwo : ScaleType.F16;
        while (words.Next(out ReadOnlySpan<char> word))
        {
            if (Granularity.TryParse(word, out Granularity g)) granularity = g;
            else if (ScaleTypes.TryParse(word, out ScaleType s)) scale = s;
            else if (TryParseKind(word, out LinearKind k)) kind = k;
            else throw words.Unknown(word, "sym, zero, min, g32, row, tensor, f32, f16, bf16, s8, s8row, p2");
        }
        return words.Make(() => new LinearFormat(bits, kind, granularity, scale));
    }

    private static bool TryParseKind(ReadOnlySpan<char> word, out LinearKind kind)
    {
        foreach ((string known, LinearKind k) in Kinds)
        {
            if (!word.SequenceEqual(known)) continue;
            kind = k;
            return true;
        }
        kind = default;
        return false;
    }
}
