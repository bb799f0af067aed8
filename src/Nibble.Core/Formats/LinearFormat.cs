using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>
/// Equal steps at 1 to 8 bits: symmetric, with a whole zero point, or with a minimum; the parameters for a group, a row or
/// a tensor. With power-of-two scales it is fixed point.
/// </summary>
/// <remarks>
/// The parameters of a block's groups: the scales (<see cref="ScaleArray"/>); then, with zero points, those in
/// <see cref="GroupedFormat.Bits"/> bits each in a dense run; with minimums, those in a second array like the first.
/// docs/format.md gives the bytes.
/// </remarks>
public sealed partial class LinearFormat : GroupedFormat
{
    /// <summary>-1 for code 0, 1 for code 1.</summary>
    private static readonly Vector128<sbyte> s_signs = Vector128.Create((short)0x01FF).AsSByte();

    private readonly LinearLevels _levels, _negative;
    private readonly sbyte[] _codes;
    private readonly ScaleArray _scales, _minimums;
    private readonly int _scaleBytes;

    /// <param name="bits">1 to 8; one bit has no code to spare for a zero point.</param>
    /// <param name="kind">Where zero lies.</param>
    /// <param name="granularity">Which weights share a scale.</param>
    /// <param name="scale">How scales are stored; a power of two only for symmetric steps.</param>
    /// <exception cref="ArgumentException">The choices do not go together.</exception>
    public LinearFormat(int bits, LinearKind kind, Granularity granularity, ScaleType scale)
        : this(bits, kind, granularity, scale, 0, default) { }

    /// <summary>The member of the family that <c>LinearN</c> names.</summary>
    public static LinearFormat OfBits(int bits) => new(bits, DefaultKind(bits), DefaultGranularity, ScaleType.F16);

    private LinearFormat(int bits, LinearKind kind, Granularity granularity, ScaleType scale, int columns, ReadOnlyMemory<byte> shared)
        : base(bits, granularity, scale, columns, shared, groups => ParameterBytes(bits, kind, scale, groups))
    {
        if (bits == 1 && kind == LinearKind.ZeroPoint)
            throw new ArgumentException("one bit has no code to spare for a zero point", nameof(kind));
        if (scale == ScaleType.PowerOfTwo && kind != LinearKind.Symmetric)
            throw new ArgumentException("fixed point is symmetric", nameof(scale));
        Kind = kind;
        _scales = ScalesOf(kind, scale, Groups);
        _scaleBytes = _scales.Bytes;
        _minimums = MinimumsOf(scale, Groups);
        _levels = new LinearLevels(bits, kind, negative: false, IsFixedPoint);
        _negative = new LinearLevels(bits, kind, negative: true, IsFixedPoint);
        _codes = bits == 8 ? [] : bits == 1 && kind == LinearKind.Symmetric ? [-1, 1]
            : [.. Enumerable.Range(FirstLevel, 1 << bits).Select(code => (sbyte)code)];
        Name = MakeName();
    }

    public LinearKind Kind { get; }
    private bool IsFixedPoint => Scale == ScaleType.PowerOfTwo;
    private int Top => (1 << Bits) - 1;

    public override string Name { get; }
    public override FormatFamily Family => FormatFamily.Linear;

    protected override GroupedFormat Bind(int columns, ReadOnlyMemory<byte> shared) =>
        new LinearFormat(Bits, Kind, Granularity, Scale, columns, shared);

    private static ScaleArray ScalesOf(LinearKind kind, ScaleType type, int groups) => new(type, groups, Signed: kind == LinearKind.Symmetric);
    private static ScaleArray MinimumsOf(ScaleType type, int groups) => new(type, groups, Signed: true);

    private static int ParameterBytes(int bits, LinearKind kind, ScaleType scale, int groups) => ScalesOf(kind, scale, groups).Bytes + kind switch
    {
        LinearKind.ZeroPoint => BitPacking.Bytes(groups, bits),
        LinearKind.Minimum => MinimumsOf(scale, groups).Bytes,
        _ => 0,
    };

    /// <summary>The grid that stored parameters mean.</summary>
    private LinearGrid Grid(ReadOnlySpan<byte> parameters, int group)
    {
        if (Groups == 1) group = 0;
        float scale = _scales.Read(parameters, group);
        return Kind switch
        {
            LinearKind.Symmetric => _levels.OfScale(scale),
            LinearKind.ZeroPoint => new LinearGrid(scale, BitPacking.Read(parameters[_scaleBytes..], group, Bits), 0),
            _ => new LinearGrid(scale, 0, _minimums.Read(parameters[_scaleBytes..], group)),
        };
    }

    protected override void FitGroups(ReadOnlySpan<float> weights, in FitOptions options, Span<byte> parameters)
    {
        int groups = Groups;
        Span<float> scales = groups <= 64 ? stackalloc float[groups] : new float[groups];
        Span<float> lows = groups <= 64 ? stackalloc float[groups] : new float[groups];
        FitGroups(weights, options, scales, lows);
        Store(parameters, scales, lows);
    }

    protected override void FitBlocks(ReadOnlySpan<float> weights, in FitOptions options, Span<byte> blocks)
    {
        if (Groups > GroupLanes.Lanes || !SearchesLanes(options))
        {
            base.FitBlocks(weights, options, blocks);
            return;
        }
        Span<float> scales = stackalloc float[GroupLanes.Lanes], lows = stackalloc float[GroupLanes.Lanes];
        int groups = weights.Length / GroupSize;
        FitGroups(weights, options, scales[..groups], lows[..groups]);
        for (int g = 0; g < groups; g += Groups, blocks = blocks[BlockBytes..])
            Store(blocks[..BlockBytes], scales.Slice(g, Groups), lows.Slice(g, Groups));
    }

    /// <summary>True if the parameters of several groups are searched for at once.</summary>
    private bool SearchesLanes(in FitOptions options) =>
        options.Range is null && Bits is > 1 and <= SearchedBits && !IsFixedPoint
        && Granularity.Reach == Reach.Group && GroupSize <= LinearSearch.LargestGroup && GroupSize % 2 == 0;

    /// <summary>The scale of each group, and the weight of its code 0.</summary>
    private void FitGroups(ReadOnlySpan<float> weights, in FitOptions options, Span<float> scales, Span<float> lows)
    {
        int size = weights.Length / scales.Length;
        if (SearchesLanes(options))
        {
            for (int g = 0; g < scales.Length; g += GroupLanes.Lanes)
            {
                int count = Math.Min(GroupLanes.Lanes, scales.Length - g);
                FitOptions own = options.Slice(g * size, count * size);
                LinearSearch.Find(weights.Slice(g * size, count * size), own.Importance, Bits, Kind,
                    scales.Slice(g, count), lows.Slice(g, count));
            }
            return;
        }
        for (int g = 0; g < scales.Length; g++)
        {
            LinearGrid grid = FitGroup(weights.Slice(g * size, size), options.Slice(g * size, size), out lows[g]);
            scales[g] = Bits == 1 && Kind == LinearKind.Symmetric ? grid.Step / 2 : grid.Step;
        }
    }

    private void Store(Span<byte> parameters, ReadOnlySpan<float> scales, ReadOnlySpan<float> lows)
    {
        int groups = scales.Length;
        _scales.Write(parameters, scales);
        if (Kind == LinearKind.Minimum) _minimums.Write(parameters[_scaleBytes..], lows);
        if (Kind != LinearKind.ZeroPoint) return;
        Span<byte> zeros = parameters[_scaleBytes..];
        for (int g = 0; g < groups; g++)
            BitPacking.Write(zeros, g, Bits, _levels.ZeroPoint(lows[g], _scales.Read(parameters, g)));
    }

    private LinearGrid FitGroup(ReadOnlySpan<float> weights, in FitOptions options, out float low)
    {
        LinearLevels levels = Kind == LinearKind.Symmetric && !IsFixedPoint && SpareLevelLiesAbove(weights) ? _negative : _levels;
        (low, float high) = ChooseRange(weights, options, levels, searched: Bits <= SearchedBits);
        return levels.Lay(low, high);
    }

    /// <summary>Formats of more bits take the extremes: from there on the search gains less than it costs.</summary>
    private const int SearchedBits = 5;

    /// <summary>The spare level of a symmetric grid goes to the side of the largest magnitude, as in Q4_0.</summary>
    private static bool SpareLevelLiesAbove(ReadOnlySpan<float> weights)
    {
        (float low, float high) = RangeSearch.Extremes(weights);
        return high > -low;
    }

    protected override void Quantize(ReadOnlySpan<byte> parameters, int group, ReadOnlySpan<float> weights, Span<byte> codes) =>
        Grid(parameters, group).Quantize(weights, Top, codes);

    protected override void Dequantize(ReadOnlySpan<byte> parameters, int group, ReadOnlySpan<byte> codes, Span<float> weights) =>
        Grid(parameters, group).Dequantize(codes, weights);

    protected override void DequantizeNibbles(ReadOnlySpan<byte> parameters, int group, ReadOnlySpan<byte> packed, Span<float> weights) =>
        Grid(parameters, group).DequantizeNibbles(packed, weights);

    public override int Group => IntegerGroup;
    public override ReadOnlySpan<sbyte> Levels => _codes;
    public override bool PowerScales => IsFixedPoint && Group >= 32;

    public override bool HalfScales => Scale == ScaleType.F16 && (Kind == LinearKind.Symmetric || FirstLevel == 0);
    public override bool HasOffsets => Kind != LinearKind.Symmetric;
    public override bool HasZeroPoints => Scale == ScaleType.F16 && Kind == LinearKind.ZeroPoint;

    /// <summary>
    /// What the integer kernels have for code 0. With minimums it is 0, so that an offset is a minimum as stored, where the
    /// kernels can take levels that do not lie about zero.
    /// </summary>
    private int FirstLevel => Kind == LinearKind.Minimum && Bits <= 5 ? 0 : -(1 << Bits >> 1);

    /// <summary>Codes that fit a signed byte: code + <see cref="FirstLevel"/>, or twice that plus one for plus and minus the scale.</summary>
    public override void Unpack(ReadOnlySpan<byte> block, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        UnpackCodes(block, codes);
        bool binary = Bits == 1 && Kind == LinearKind.Symmetric;
        int first = FirstLevel;
        if (binary) IntegerCodes.LookUp(codes[..BlockSize], s_signs);
        else IntegerCodes.Shift(codes[..BlockSize], first);
        ReadOnlySpan<byte> parameters = Parameters(block);
        for (int i = 0; i < BlockSize; i += Group)
        {
            LinearGrid grid = Grid(parameters, i / GroupSize);
            scales[i / Group] = binary ? grid.Step / 2 : grid.Step;
            offsets[i / Group] = Kind == LinearKind.Symmetric ? 0 : grid.Decode(-first);
        }
    }

    public override double ErrorBudget
    {
        get
        {
            // Granular error of a Gaussian whose range is c deviations, (c/top)^2/12, or the best that so few levels can do.
            // n Gaussian weights span 1.7 + 0.72 ln n deviations.
            double range = 1.1 * (1.7 + 0.72 * Math.Log(Granularity.Reach == Reach.Group ? GroupSize : 1 << 16));
            double budget = Math.Max(range * range / 12 / (Top * Top), Bits switch { 1 => 0.42, 2 => 0.20, 3 => 0.06, _ => 0 });
            return IsFixedPoint ? 4 * budget : budget;
        }
    }
}
