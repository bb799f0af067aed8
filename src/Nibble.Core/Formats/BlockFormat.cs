using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Nibble.Core.Formats;

/// <summary>The erased face of a block format: rows are runs of <typeparamref name="TBlock"/>.</summary>
public sealed class BlockFormat<TBlock> : Format where TBlock : unmanaged, IBlock<TBlock>
{
    public override string Name => TBlock.Name;
    public override FormatFamily Family => TBlock.Family;
    public override uint? GgufType => TBlock.GgufType;
    public override int BlockSize => TBlock.Size;
    public override int BlockBytes => Unsafe.SizeOf<TBlock>();
    public override int Stride => TBlock.Stride;
    public override double ErrorBudget => TBlock.ErrorBudget;
    public override int Group => TBlock.Group;
    public override ReadOnlySpan<sbyte> Levels => TBlock.Levels;
    public override bool HalfScales => TBlock.HalfScales;
    public override bool PowerScales => TBlock.PowerScales;
    public override bool HasOffsets => TBlock.HasOffsets;
    public override bool HasUnits => TBlock.HasUnits;
    public override float ScaleFactor => TBlock.ScaleFactor;
    public override bool HasRange => TBlock.HasRange;
    public override IReadOnlyList<BlockParameter> BlockParameters { get; } = TBlock.BlockParameters;
    public override IReadOnlyList<CodePlanes> CodePlanes { get; } = TBlock.CodePlanes;
    public override ReadOnlySpan<byte> CodePlaces => TBlock.CodePlaces;
    public override bool Float8Scales => TBlock.Float8Scales;

    public override void Fit(ReadOnlySpan<float> weights, in FitOptions options, Span<byte> block) =>
        TBlock.Fit(ref MemoryMarshal.AsRef<TBlock>(block), weights, options);

    public override void Put(Span<byte> block, int at, ReadOnlySpan<float> weights, Span<float> rounded) =>
        TBlock.Put(ref MemoryMarshal.AsRef<TBlock>(block), at, weights, rounded);

    public override void Encode(ReadOnlySpan<float> row, in FitOptions options, Span<byte> bytes)
    {
        Span<TBlock> blocks = MemoryMarshal.Cast<byte, TBlock>(bytes);
        for (int b = 0, at = 0; at < row.Length; b++, at += TBlock.Size)
            TBlock.Encode(ref blocks[b], row.Slice(at, TBlock.Size), options.Slice(at, TBlock.Size));
    }

    public override void Decode(ReadOnlySpan<byte> bytes, Span<float> weights)
    {
        ReadOnlySpan<TBlock> blocks = MemoryMarshal.Cast<byte, TBlock>(bytes);
        for (int b = 0, at = 0; at < weights.Length; b++, at += TBlock.Size)
            TBlock.Decode(in blocks[b], weights.Slice(at, TBlock.Size));
    }

    public override (float Scale, float Offset) Units(ReadOnlySpan<byte> block) => TBlock.Units(in MemoryMarshal.AsRef<TBlock>(block));

    public override void Unpack(ReadOnlySpan<byte> block, Span<sbyte> codes, Span<float> scales, Span<float> offsets) =>
        TBlock.Unpack(in MemoryMarshal.AsRef<TBlock>(block), codes, scales, offsets);
}
