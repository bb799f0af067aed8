using System.Globalization;

namespace Nibble.Core.Formats;

/// <summary>The tables, and their names: <c>NF4</c>, then words for granularity and scale as in <see cref="LinearFormat"/>.</summary>
public sealed partial class TableFormat
{
    /// <param name="Name">Without the words after dashes that every table takes.</param>
    /// <param name="Family">How the levels lie.</param>
    /// <param name="Table">The levels.</param>
    /// <param name="ErrorBudget">For groups of 64.</param>
    private sealed record Kind(string Name, FormatFamily Family, LevelTable Table, double ErrorBudget);

    /// <summary>
    /// NormalFloat: quantiles of the normal distribution, with an exact zero (Dettmers et al., QLoRA, arXiv 2305.14314,
    /// appendix E).
    /// </summary>
    private static readonly Kind Nf4 = new("NF4", FormatFamily.Table, new LevelTable(
    [
        -1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f,
        -0.28444138169288635f, -0.18477343022823334f, -0.09105003625154495f, 0.0f,
        0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
        0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f,
    ]), 0.011);

    /// <summary>Sign, two bits of exponent, one of mantissa: E2M1 of the OCP microscaling formats (MX) specification, 1.0.</summary>
    private static readonly Kind Fp4 = new("FP4", FormatFamily.Table, WithSigns([0, 0.5f, 1, 1.5f, 2, 3, 4, 6]), 0.015);

    private static readonly Kind E4M3 = new("F8_E4M3", FormatFamily.Float, new LevelTable(Float8.E4M3.FiniteLevels()), 0.0015);
    private static readonly Kind E5M2 = new("F8_E5M2", FormatFamily.Float, new LevelTable(Float8.E5M2.FiniteLevels()), 0.006);

    public static readonly TableFormat NF4 = Default(Nf4), FP4 = Default(Fp4);

    /// <summary>Powers of two: one, a half, a quarter, ..., and zero.</summary>
    public static TableFormat PowersOfTwo(int bits) => Default(PowersOfTwoKind(bits));

    /// <summary>Sums of powers of two.</summary>
    public static TableFormat AdditivePowersOfTwo(int bits) => Default(AdditivePowersOfTwoKind(bits));

    private static TableFormat Default(Kind kind) => new(kind, DefaultGranularity, ScaleType.F16, 0, default);

    /// <summary>Codes whose top bit is the sign and whose others choose a magnitude; the code of minus zero is not used.</summary>
    private static LevelTable WithSigns(float[] magnitudes, bool geometric = false) =>
        new([.. magnitudes, .. magnitudes.Select(m => m == 0 ? 0 : -m)], geometric);

    private static Kind PowersOfTwoKind(int bits) =>
        new($"Pot{bits}", FormatFamily.Logarithmic, WithSigns(Powers(bits, 2)), bits == 2 ? 0.25 : bits == 3 ? 0.06 : 0.035);

    private static Kind LogarithmKind(int bits, double toBase) =>
        new(FormattableString.Invariant($"Log{bits}-b{toBase}"), FormatFamily.Logarithmic, WithSigns(Powers(bits, toBase), geometric: true), 0.5);

    /// <summary>Zero, then the powers of the base from the least up to one: as many as codes are left.</summary>
    private static float[] Powers(int bits, double toBase)
    {
        int count = (1 << (bits - 1)) - 1;
        return [0, .. Enumerable.Range(1, count).Select(k => (float)Math.Pow(toBase, k - count))];
    }

    /// <summary>
    /// Additive powers of two (Li, Dong, Wang, arXiv 1909.13144): a magnitude is a sum of terms of two bits, each zero or
    /// one of three powers; an odd bit makes a last term of one bit. The powers 1/2, 1/4, 1/8, ... are dealt to the terms
    /// in three rounds, and the last term takes one only, first in the third round.
    /// </summary>
    private static Kind AdditivePowersOfTwoKind(int bits)
    {
        int magnitudeBits = bits - 1, pairs = magnitudeBits / 2, power = 0;
        var terms = Enumerable.Range(0, pairs).Select(_ => new List<float> { 0 }).ToList();
        for (int round = 0; round < 3; round++)
        {
            if (round == 2 && magnitudeBits % 2 == 1) terms.Add([0, MathF.ScaleB(1, -++power)]);
            for (int t = 0; t < pairs; t++) terms[t].Add(MathF.ScaleB(1, -++power));
        }
        IEnumerable<float> sums = terms.Aggregate((IEnumerable<float>)[0f], (sums, term) => sums.SelectMany(s => term.Select(p => s + p)));
        double budget = bits switch { 2 => 0.25, 3 => 0.06, 4 => 0.02, 5 => 0.008, 6 => 0.004, _ => 0.003 };
        return new Kind($"Apot{bits}", FormatFamily.Logarithmic, WithSigns([.. sums.Order()]), budget);
    }

    private string MakeName()
    {
        var name = new FormatName(_kind.Name);
        if (Granularity != DefaultGranularity || _kind.Family == FormatFamily.Float) name.Add(Granularity.ToString());
        if (Scale != ScaleType.F16) name.Add(Scale.Word());
        return name.ToString();
    }

    /// <summary>The format that a name describes, or null if it is not the name of a table.</summary>
    /// <exception cref="UnusableInputException">It is, but its words are unknown or do not go together.</exception>
    public static TableFormat? TryParse(string name)
    {
        var words = new FormatName.Reader(name);
        if (TakeKind(ref words) is not { } kind) return null;
        Granularity granularity = DefaultGranularity;
        ScaleType scale = ScaleType.F16;
        while (words.Next(out ReadOnlySpan<char> word))
        {
            if (Granularity.TryParse(word, out Granularity g)) granularity = g;
            else if (ScaleTypes.TryParse(word, out ScaleType s)) scale = s;
            else throw words.Unknown(word, "g32, row, tensor, f32, f16, bf16, s8, s8row, p2");
        }
        return words.Make(() => new TableFormat(kind, granularity, scale, 0, default));
    }

    private static Kind? TakeKind(ref FormatName.Reader words)
    {
        foreach (Kind known in (ReadOnlySpan<Kind>)[Nf4, Fp4, E4M3, E5M2])
            if (words.Takes(known.Name.ToLowerInvariant())) return known;
        FormatName.Reader start = words;
        if (words.Takes("pot") && words.TakesNumber(2, 8, out int bits)) return PowersOfTwoKind(bits);
        words = start;
        if (words.Takes("apot") && words.TakesNumber(2, 8, out bits)) return AdditivePowersOfTwoKind(bits);
        words = start;
        if (words.Takes("log") && words.TakesNumber(2, 8, out bits) && words.TakesBase(out double toBase)) return LogarithmKind(bits, toBase);
        return null;
    }
}
