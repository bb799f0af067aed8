namespace Nibble.Core.Formats;

/// <summary>The parameters of a block as numbers, for methods that choose them themselves (learned step sizes).</summary>
public sealed partial class LinearFormat
{
    /// <summary>Groups whose parameters a block begins with; 0 where the tensor shares them, or the row is not bound.</summary>
    public int BlockGroups => Granularity.Reach == Reach.Tensor ? 0 : Groups;

    /// <summary>Reads the parameters of a block's groups.</summary>
    /// <param name="scales">[<see cref="BlockGroups"/>]: the step, or of one symmetric bit the magnitude.</param>
    /// <param name="zeros">As many: with zero points the code of zero, with minimums the weight of code 0, else 0.</param>
    public void ReadParameters(ReadOnlySpan<byte> block, Span<float> scales, Span<float> zeros)
    {
        ScaleArray stored = _scales, minimums = _minimums;
        ReadOnlySpan<byte> rest = block[stored.Bytes..];
        for (int g = 0; g < BlockGroups; g++)
        {
            scales[g] = stored.Read(block, g);
            zeros[g] = Kind switch
            {
                LinearKind.ZeroPoint => BitPacking.Read(rest, g, Bits),
                LinearKind.Minimum => minimums.Read(rest, g),
                _ => 0,
            };
        }
    }

    /// <summary>Stores what <see cref="ReadParameters"/> reads, each number rounded to its type; the codes stay as they are.</summary>
    public void WriteParameters(Span<byte> block, ReadOnlySpan<float> scales, ReadOnlySpan<float> zeros)
    {
        ScaleArray stored = _scales;
        stored.Write(block, scales[..BlockGroups]);
        Span<byte> rest = block[stored.Bytes..];
        if (Kind == LinearKind.Minimum) _minimums.Write(rest, zeros[..BlockGroups]);
        if (Kind != LinearKind.ZeroPoint) return;
        for (int g = 0; g < BlockGroups; g++)
            BitPacking.Write(rest, g, Bits, (int)Math.Clamp(MathF.Round(zeros[g]), 0, Top));
    }

    /// <summary>Halves, as scales are unless something else is asked for; those of a whole tensor are in no block.</summary>
    public override IReadOnlyList<BlockParameter> BlockParameters => Scale != ScaleType.F16 || BlockGroups == 0 ? []
        : [.. Enumerable.Range(0, Kind == LinearKind.Minimum ? 2 * BlockGroups : BlockGroups).Select(i => BlockParameter.OfHalf(2 * i))];

    /// <summary>Of groups that are blocks, but for 7 bits, which kernels hold in 8: their scale is a half, and the zero point a code or the minimum another half.</summary>
    public override IReadOnlyList<CodePlanes> CodePlanes =>
        Bits is > 1 and not 7 && BlockGroups == 1 && GroupSize % 32 == 0 && (HalfScales || HasZeroPoints) && Granularity.Reach == Reach.Group
            ? [Formats.CodePlanes.Dense(BlockBytes - BlockSize / 8 * Bits, Bits)] : [];
}
