namespace Nibble.Core.Formats;

/// <summary>
/// All facts of a block format, stated by the struct that has the block's exact layout.
/// <see cref="BlockFormat{TBlock}"/> is its erased face; see <see cref="Format"/> for what the members mean.
/// </summary>
public interface IBlock<TSelf> where TSelf : unmanaged, IBlock<TSelf>
{
    static abstract string Name { get; }
    static abstract FormatFamily Family { get; }
    static abstract uint? GgufType { get; }

    /// <summary>Weights a block.</summary>
    static abstract int Size { get; }

    /// <summary>Weights rounded together: 1 for a scalar format, 8 for E8.</summary>
    static virtual int Stride => 1;

    static abstract double ErrorBudget { get; }

    static abstract void Fit(ref TSelf block, ReadOnlySpan<float> weights, in FitOptions options);

    static abstract void Put(ref TSelf block, int at, ReadOnlySpan<float> weights, Span<float> rounded);

    /// <summary>The weights. A format with an integer form need not say more than <see cref="Unpack"/> says.</summary>
    static virtual void Decode(in TSelf block, Span<float> weights) => IntegerCodes.Decode(in block, weights);

    /// <summary>
    /// Nearest rounding of a block. Overridden where the reference implementation does not round against the stored
    /// parameters, or where scale and codes are searched together.
    /// </summary>
    static virtual void Encode(ref TSelf block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        TSelf.Fit(ref block, weights, options);
        Span<float> rounded = stackalloc float[TSelf.Stride];
        for (int at = 0; at < TSelf.Size; at += TSelf.Stride)
            TSelf.Put(ref block, at, weights.Slice(at, TSelf.Stride), rounded);
    }

    static virtual IReadOnlyList<BlockParameter> BlockParameters => [];

    /// <summary>Weights that share a scale in <see cref="Unpack"/>; 0 for a format without an integer form.</summary>
    static virtual int Group => 0;

    /// <summary>
    /// Every code that <see cref="Unpack"/> can give, ascending; empty if it may give any signed byte. The kernels keep a
    /// weight's place in this list, in as few bits as it takes.
    /// </summary>
    static virtual ReadOnlySpan<sbyte> Levels => [];

    /// <summary>True if every scale and offset of <see cref="Unpack"/>, over <see cref="ScaleFactor"/>, is exact in 16 bits.</summary>
    static virtual bool HalfScales => false;

    /// <summary>See <see cref="Format.PowerScales"/>.</summary>
    static virtual bool PowerScales => false;

    /// <summary>True if <see cref="Unpack"/> gives offsets other than zero.</summary>
    static virtual bool HasOffsets => false;

    /// <summary>See <see cref="Format.CodePlanes"/>.</summary>
    static virtual IReadOnlyList<CodePlanes> CodePlanes => [];

    /// <summary>See <see cref="Format.CodePlaces"/>.</summary>
    static virtual ReadOnlySpan<byte> CodePlaces => [];

    /// <summary>See <see cref="Format.Float8Scales"/>.</summary>
    static virtual bool Float8Scales => false;

    /// <summary>See <see cref="Format.HasRange"/>.</summary>
    static virtual bool HasRange => true;

    /// <summary>True for two-level blocks, whose scales are small whole multiples of one number: see <see cref="Units"/>.</summary>
    static virtual bool HasUnits => false;

    /// <summary>
    /// The numbers that every scale and every offset of <see cref="Unpack"/> is a multiple of, by a factor from -128 to 127.
    /// </summary>
    static virtual (float Scale, float Offset) Units(in TSelf block) => default;

    /// <summary>See <see cref="Format.ScaleFactor"/>.</summary>
    static virtual float ScaleFactor => 1;

    static virtual void Unpack(in TSelf block, Span<sbyte> codes, Span<float> scales, Span<float> offsets) =>
        throw new NotSupportedException($"{TSelf.Name} has no integer form.");
}
