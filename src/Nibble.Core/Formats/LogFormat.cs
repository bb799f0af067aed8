namespace Nibble.Core.Formats;

/// <summary>
/// Equal steps of the logarithm, at 2 to 8 bits and to a base that each group (row, tensor) chooses: the top bit of a code is
/// the sign; the others are 0 for zero, or 1 + q where <c>q = round((log2|w| - l_min) / step)</c> and q = 2^(N-1) - 2 is l_max.
/// </summary>
/// <remarks>
/// A block is the scales of its groups, each 2^l_max; then a byte for the step of each: step = 2^(byte/24 - 5), from 1/32 of
/// an octave to 49 octaves; then the codes. There are so few different steps that decoding is a look-up in a table of its step, and
/// no power is taken at run time.
/// </remarks>
public sealed class LogFormat : GroupedFormat
{
    private readonly LogLevels _levels;
    private readonly ScaleArray _scales;

    private LogFormat(int bits, Granularity granularity, ScaleType scale, int columns, ReadOnlyMemory<byte> shared)
        : base(bits, granularity, scale, columns, shared, groups => new ScaleArray(scale, groups, Signed: false).Bytes + groups)
    {
        if (bits < 2) throw new ArgumentException("a logarithm needs two bits: a sign and a zero", nameof(bits));
        _levels = LogLevels.OfBits(bits, scale == ScaleType.PowerOfTwo);
        _scales = new ScaleArray(scale, Groups, Signed: false);
        Name = MakeName();
    }

    /// <summary>The member of the family that <c>LogN</c> names.</summary>
    public static LogFormat OfBits(int bits) => new(bits, DefaultGranularity, ScaleType.F16, 0, default);

    public override string Name { get; }
    public override FormatFamily Family => FormatFamily.Logarithmic;

    protected override GroupedFormat Bind(int columns, ReadOnlyMemory<byte> shared) => new LogFormat(Bits, Granularity, Scale, columns, shared);

    private (LevelTable Table, float Scale) Read(ReadOnlySpan<byte> parameters, int group)
    {
        if (Groups == 1) group = 0;
        return (_levels.Table(parameters[_scales.Bytes + group]), _scales.Read(parameters, group));
    }

    protected override void FitGroups(ReadOnlySpan<float> weights, in FitOptions options, Span<byte> parameters)
    {
        int groups = Groups, size = weights.Length / groups;
        Span<float> scales = groups <= 64 ? stackalloc float[groups] : new float[groups];
        var magnitudes = new float[size];
        for (int g = 0; g < groups; g++)
        {
            (int kept, float[] importance) = Magnitudes(weights.Slice(g * size, size), options.Slice(g * size, size).Importance, magnitudes);
            var own = new FitOptions { Importance = importance, Range = options.Range };
            (float low, float high) = ChooseRange(magnitudes.AsSpan(0, kept), own, _levels, searched: true);
            (scales[g], byte step) = _levels.Lay(low, high);
            parameters[_scales.Bytes + g] = step;
        }
        _scales.Write(parameters, scales);
    }

    /// <summary>The magnitudes that have a logarithm, and their importance.</summary>
    private static (int Kept, float[] Importance) Magnitudes(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, float[] magnitudes)
    {
        var kept = new float[importance.Length];
        int n = 0;
        for (int i = 0; i < weights.Length; i++)
        {
            if (Math.Abs(weights[i]) < LogLevels.Least) continue;
            magnitudes[n] = Math.Abs(weights[i]);
            if (kept.Length > 0) kept[n] = importance[i];
            n++;
        }
        return (n, kept.Length > 0 ? kept[..n] : kept);
    }

    protected override void Quantize(ReadOnlySpan<byte> parameters, int group, ReadOnlySpan<float> weights, Span<byte> codes)
    {
        (LevelTable table, float scale) = Read(parameters, group);
        table.Quantize(weights, scale, codes);
    }

    protected override void Dequantize(ReadOnlySpan<byte> parameters, int group, ReadOnlySpan<byte> codes, Span<float> weights)
    {
        (LevelTable table, float scale) = Read(parameters, group);
        table.Dequantize(codes, scale, weights);
    }

    protected override void DequantizeNibbles(ReadOnlySpan<byte> parameters, int group, ReadOnlySpan<byte> packed, Span<float> weights)
    {
        (LevelTable table, float scale) = Read(parameters, group);
        table.DequantizeNibbles(packed, scale, weights);
    }

    /// <summary>One where the whole tensor has one step.</summary>
    public override int LevelTables => !HasWholeStretches ? 0 : Granularity.Reach == Reach.Tensor ? 1 : 256;

    public override (float Scale, int Table) LevelsAt(ReadOnlySpan<byte> block, int at)
    {
        ReadOnlySpan<byte> parameters = Parameters(block);
        int group = Groups == 1 ? 0 : at / GroupSize;
        return (_scales.Read(parameters, group), LevelTables == 1 ? 0 : parameters[_scales.Bytes + group]);
    }

    public override ReadOnlySpan<float> LevelTable(int table) =>
        _levels.Table(LevelTables == 1 ? Parameters(default)[_scales.Bytes] : (byte)table).Levels;

    public override double ErrorBudget
    {
        get
        {
            double budget = Bits switch { 2 => 0.25, 3 => 0.065, 4 => 0.022, 5 => 0.007, 6 => 0.0025, 7 => 9e-4, _ => 3e-4 };
            return Granularity.Reach == Reach.Group && Scale != ScaleType.PowerOfTwo ? budget : 4 * budget;
        }
    }

    private string MakeName()
    {
        var name = new FormatName($"Log{Bits}");
        if (Granularity != DefaultGranularity) name.Add(Granularity.ToString());
        if (Scale != ScaleType.F16) name.Add(Scale.Word());
        return name.ToString();
    }

    /// <summary>
    /// The format that a name describes (<c>Log4</c>, then words for granularity and scale as in <see cref="LinearFormat"/>),
    /// or null if it is not the name of a logarithm to a free base.
    /// </summary>
    /// <exception cref="UnusableInputException">It is, but its words are unknown or do not go together.</exception>
    public static LogFormat? TryParse(string name)
    {
        var words = new FormatName.Reader(name);
        if (!words.Takes("log") || !words.TakesNumber(2, 8, out int bits)) return null;
        Granularity granularity = DefaultGranularity;
        ScaleType scale = ScaleType.F16;
        while (words.Next(out ReadOnlySpan<char> word))
        {
            if (Granularity.TryParse(word, out Granularity g)) granularity = g;
            else if (ScaleTypes.TryParse(word, out ScaleType s)) scale = s;
            else throw words.Unknown(word, "b2 (or another base, first), g32, row, tensor, f32, f16, bf16, s8, s8row, p2");
        }
        return words.Make(() => new LogFormat(bits, granularity, scale, 0, default));
    }
}
