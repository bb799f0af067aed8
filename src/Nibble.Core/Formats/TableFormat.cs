using System.Runtime.Intrinsics;
using Nibble.Core.Kernels;

namespace Nibble.Core.Formats;

/// <summary>
/// A fixed table of levels under a scale: NF4 and FP4, powers of two and sums of them, logarithms to a fixed base, 8-bit
/// floats. A block is the scales of its groups, then the codes.
/// </summary>
public sealed partial class TableFormat : GroupedFormat
{
    private readonly Kind _kind;
    private readonly LevelTable _table;
    private readonly TableLevels _levels;
    private readonly ScaleArray _scales;
    private readonly (sbyte[] Levels, float Unit)? _whole;
    private readonly sbyte[] _wholeLevels;

    /// <summary>The whole levels of codes of up to four bits.</summary>
    private readonly Vector128<sbyte> _inRegister;

    private TableFormat(Kind kind, Granularity granularity, ScaleType scale, int columns, ReadOnlyMemory<byte> shared)
        : base(kind.Table.Bits, granularity, scale, columns, shared, groups => new ScaleArray(scale, groups, Signed: false).Bytes)
    {
        _kind = kind;
        _table = kind.Table;
        _levels = new TableLevels(_table, scale == ScaleType.PowerOfTwo);
        _whole = _table.Whole();
        if (_whole is { Levels: { Length: <= 16 } few }) _inRegister = Vector128.Create<sbyte>([.. few, .. new sbyte[16 - few.Length]]);
        _wholeLevels = _whole is { } whole ? [.. whole.Levels.Distinct().Order()] : [];
        _scales = new ScaleArray(scale, Groups, Signed: false);
        Name = MakeName();
    }

    public override string Name { get; }
    public override FormatFamily Family => _kind.Family;

    /// <summary>The table's name, without granularity and scale.</summary>
    public string TableName => _kind.Name;

    protected override GroupedFormat Bind(int columns, ReadOnlyMemory<byte> shared) => new TableFormat(_kind, Granularity, Scale, columns, shared);

    private float ScaleOf(ReadOnlySpan<byte> parameters, int group) => _scales.Read(parameters, Groups == 1 ? 0 : group);

    protected override void FitGroups(ReadOnlySpan<float> weights, in FitOptions options, Span<byte> parameters)
    {
        int groups = Groups, size = weights.Length / groups;
        Span<float> scales = groups <= 64 ? stackalloc float[groups] : new float[groups];
        for (int g = 0; g < groups; g++)
        {
            (float low, float high) = ChooseRange(weights.Slice(g * size, size), options.Slice(g * size, size), _levels, searched: Bits <= 5);
            scales[g] = _levels.Lay(low, high);
        }
        _scales.Write(parameters, scales);
    }

    protected override void Quantize(ReadOnlySpan<byte> parameters, int group, ReadOnlySpan<float> weights, Span<byte> codes) =>
        _table.Quantize(weights, ScaleOf(parameters, group), codes);

    protected override void Dequantize(ReadOnlySpan<byte> parameters, int group, ReadOnlySpan<byte> codes, Span<float> weights) =>
        _table.Dequantize(codes, ScaleOf(parameters, group), weights);

    protected override void DequantizeNibbles(ReadOnlySpan<byte> parameters, int group, ReadOnlySpan<byte> packed, Span<float> weights) =>
        _table.DequantizeNibbles(packed, ScaleOf(parameters, group), weights);

    public override int Group => _whole is null ? 0 : IntegerGroup;
    public override ReadOnlySpan<sbyte> Levels => _wholeLevels;

    public override int LevelTables => _whole is null && Family != FormatFamily.Float && HasWholeStretches ? 1 : 0;
    public override bool HalfScales => Scale == ScaleType.F16;
    public override float ScaleFactor => HalfScales && _whole is { } whole ? whole.Unit : 1;
    public override (float Scale, int Table) LevelsAt(ReadOnlySpan<byte> block, int at) => (ScaleOf(Parameters(block), at / GroupSize), 0);
    public override ReadOnlySpan<float> LevelTable(int table) => _table.Levels;

    /// <summary>8-bit floats need no table.</summary>
    public override bool HasDot => Family == FormatFamily.Float && GroupSize % 16 == 0;

    public override unsafe float Dot(ReadOnlySpan<byte> row, ReadOnlySpan<float> x)
    {
        int groups = Groups, count = x.Length / GroupSize;
        Span<float> scales = count <= 512 ? stackalloc float[count] : new float[count];
        _scales.Read(Granularity.Reach == Reach.Tensor ? Parameters(row) : row, BlockBytes, scales);
        fixed (byte* blocks = row)
        fixed (float* inputs = x)
            return FloatKernel.DotGroups(_kind == E4M3, blocks + (BlockBytes - BlockSize), inputs, scales, GroupSize, groups, BlockBytes);
    }

    public override void Unpack(ReadOnlySpan<byte> block, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        (sbyte[] levels, float unit) = _whole ?? throw new NotSupportedException($"{Name} has no integer form.");
        UnpackCodes(block, codes);
        if (Bits <= 4) IntegerCodes.LookUp(codes[..BlockSize], _inRegister);
        else for (int i = 0; i < BlockSize; i++) codes[i] = levels[(byte)codes[i]];
        ReadOnlySpan<byte> parameters = Parameters(block);
        for (int i = 0; i < BlockSize; i += Group)
        {
            scales[i / Group] = unit * ScaleOf(parameters, i / GroupSize);
            offsets[i / Group] = 0;
        }
    }

    public override double ErrorBudget => _kind.ErrorBudget * (Granularity.Reach == Reach.Group && Scale != ScaleType.PowerOfTwo ? 1 : 4);
}
