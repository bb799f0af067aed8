using System.Numerics.Tensors;

namespace Nibble.Core.Formats;

/// <summary>
/// Trellis-coded weights (<see cref="TrellisCode"/>) of 1 to 4 bits under a scale of a row or a group: at two bits within a
/// decibel of what no code can do better than, where equal steps lose three. Made for weights that are near Gaussian, as a
/// rotation leaves them (<see cref="RotatedFormat"/>). A block is the scale, then the rings, each 64 weights.
/// </summary>
public sealed class TrellisFormat : StrideFormat
{
    private static readonly Granularity DefaultGranularity = Granularity.Row;

    private readonly Granularity _granularity;
    private readonly ScaleArray _scale;

    private TrellisFormat(int bits, Granularity granularity, ScaleType scale, int columns)
    {
        if (scale is not (ScaleType.F32 or ScaleType.F16 or ScaleType.BF16)) throw new ArgumentException("the scale of a trellis is f32, f16 or bf16");
        if (granularity.Reach == Reach.Tensor) throw new ArgumentException("a trellis has a scale for a row or a group");
        if (granularity.Size % TrellisCode.Length != 0) throw new ArgumentException($"a group must be whole rings of {TrellisCode.Length} weights");
        (Bits, _granularity) = (bits, granularity);
        _scale = new ScaleArray(scale, 1, Signed: false);
        BlockSize = granularity.Reach == Reach.Row ? columns : granularity.Size;
        if (BlockSize % TrellisCode.Length != 0)
            throw new UnusableInputException($"rings of {TrellisCode.Length} weights do not divide a row of {columns}");
        BlockBytes = _scale.Bytes + BlockSize / TrellisCode.Length * TrellisCode.Bytes(bits);
        Name = MakeName();
    }

    /// <summary>The member of the family with so many bits, 1 to 4, and an F16 scale a row.</summary>
    public static TrellisFormat OfBits(int bits) => new(bits, DefaultGranularity, ScaleType.F16, 0);

    /// <summary>Bits a weight.</summary>
    public int Bits { get; }

    /// <summary>Bytes of the scale that a block begins with.</summary>
    public int ScaleBytes => _scale.Bytes;

    /// <summary>The scale of a block.</summary>
    public float ScaleOf(ReadOnlySpan<byte> block) => _scale.Read(block, 0);

    public override string Name { get; }
    public override FormatFamily Family => FormatFamily.Trellis;
    public override bool HasRange => false;
    public override int BlockSize { get; }
    public override int BlockBytes { get; }
    public override int Stride => TrellisCode.Length;

    /// <summary>1.4 times what no code of as many bits can do better than.</summary>
    public override double ErrorBudget => 1.4 * Math.Pow(2, -2.0 * Bits);

    public override bool Divides(long columns) => columns > 0 && columns % Math.Max(_granularity.Size, TrellisCode.Length) == 0;

    public override Format ForColumns(int columns) =>
        _granularity.Reach != Reach.Row || columns == BlockSize ? this : new TrellisFormat(Bits, _granularity, _scale.Type, columns);

    /// <summary>The unit of the numbers of a trellis, for weights of a root mean square of one, where the error of Gaussian weights is least.</summary>
    private static float UnitOf(int bits) => bits switch { 1 => 0.9f, 2 => 1.06f, 3 => 1.11f, _ => 1.15f } / TrellisCode.Deviation;

    public override void Fit(ReadOnlySpan<float> weights, in FitOptions options, Span<byte> block)
    {
        double power = 0;
        foreach (float w in weights) power += (double)w * w;
        _scale.Write(block, [(float)Math.Sqrt(power / weights.Length) * UnitOf(Bits)]);
    }

    protected override void Put(Span<byte> block, int at, ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, Span<float> rounded)
    {
        float scale = ScaleOf(block);
        Span<float> line = stackalloc float[TrellisCode.Length];
        Span<ushort> states = stackalloc ushort[TrellisCode.Length];
        TensorPrimitives.Multiply(weights, scale < 1e-37f ? 0 : 1 / scale, line);
        TrellisSearch.Own.Nearest(line, importance, Bits, states);
        TrellisCode.Write(states, Bits, Ring(block, at));
        for (int t = 0; t < states.Length; t++) rounded[t] = scale * TrellisCode.Numbers[states[t]];
    }

    private Span<byte> Ring(Span<byte> block, int at)
    {
        int bytes = TrellisCode.Bytes(Bits);
        return block.Slice(_scale.Bytes + at / TrellisCode.Length * bytes, bytes);
    }

    public override void Decode(ReadOnlySpan<byte> bytes, Span<float> weights)
    {
        Span<sbyte> numbers = stackalloc sbyte[Stride];
        for (int from = 0; from < weights.Length; from += BlockSize, bytes = bytes[BlockBytes..])
        {
            float scale = ScaleOf(bytes);
            for (int at = 0; at < BlockSize; at += Stride)
            {
                TrellisCode.Read(bytes[(_scale.Bytes + at / Stride * TrellisCode.Bytes(Bits))..], Bits, numbers);
                Span<float> to = weights.Slice(from + at, Stride);
                TensorPrimitives.ConvertChecked<sbyte, float>(numbers, to);
                TensorPrimitives.Multiply(to, scale, to);
            }
        }
    }

    public override int Group => TrellisCode.Length;

    public override bool HalfScales => _scale.Type == ScaleType.F16;

    public override void Unpack(ReadOnlySpan<byte> block, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        TrellisCode.Read(block[_scale.Bytes..], Bits, codes[..BlockSize]);
        scales[..(BlockSize / Group)].Fill(ScaleOf(block));
        offsets[..(BlockSize / Group)].Clear();
    }

    public override int CodeCount => 0;

    private string MakeName()
    {
        var name = new FormatName($"Trellis{Bits}");
        if (_granularity != DefaultGranularity) name.Add(_granularity.ToString());
        if (_scale.Type != ScaleType.F16) name.Add(_scale.Type.Word());
        return name.ToString();
    }

    /// <summary>The format that a name describes, or null if it is not the name of this family: <c>Trellis2</c>, then words for granularity and scale.</summary>
    /// <exception cref="UnusableInputException">It is, but its words are unknown or do not go together.</exception>
    public static TrellisFormat? TryParse(string name)
    {
        var words = new FormatName.Reader(name);
        if (!words.Takes("trellis")) return null;
        if (!words.TakesNumber(1, 4, out int bits)) throw new UnusableInputException($"there is no format '{name}': a trellis has 1 to 4 bits");
        Granularity granularity = DefaultGranularity;
        ScaleType scale = ScaleType.F16;
        while (words.Next(out ReadOnlySpan<char> word))
        {
            if (Granularity.TryParse(word, out Granularity g)) granularity = g;
            else if (ScaleTypes.TryParse(word, out ScaleType s)) scale = s;
            else throw words.Unknown(word, "row, g128, f32, f16, bf16");
        }
        return words.Make(() => new TrellisFormat(bits, granularity, scale, 0));
    }
}
