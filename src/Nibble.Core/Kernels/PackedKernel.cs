using Nibble.Core.Formats;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Threading;

namespace Nibble.Core.Kernels;

/// <summary>
/// The integer kernel for one packed layout. Products are summed over a chunk in integers, so
/// y = sum over chunks of (scale_w scale_x (sum of code_w code_x + bias sum of code_x) + offset_w scale_x sum of code_x).
/// </summary>
public abstract unsafe class PackedKernel
{
    /// <summary>Chunks whose sums are kept apart before they are added to a row's, in a product with one token.</summary>
    internal const int StretchChunks = 8;

    /// <summary>Bytes between what a product with one token reads and what it asks memory for.</summary>
    internal const int Ahead = 2048;

    /// <summary>Chunks that are stored together: 8 where they share units, else 1.</summary>
    public abstract int RunChunks { get; }

    /// <summary>Bytes of a run of a tile: units, and for each chunk scales, offsets and codes.</summary>
    public abstract int RunBytes { get; }

    /// <summary>Scales a row has in a chunk: 1 or 2.</summary>
    public abstract int Parts { get; }

    /// <summary>The generated code that takes the products of so many tokens with so many tiles side by side; null where there is none.</summary>
    internal Func<int, int, WideTile?> WideTile { get; set; } = static (_, _) => null;

    /// <summary>How a chunk lies in memory.</summary>
    internal abstract PackedShape Shape { get; }

    /// <summary>Writes a run.</summary>
    /// <param name="codes">[chunks, 512], a byte each, in the order of <see cref="ICodeLayout"/>.</param>
    /// <param name="scales">[chunks, parts, 16].</param>
    /// <param name="offsets">[chunks, parts, 16].</param>
    /// <param name="units">16 units of the scales, then 16 of the offsets.</param>
    /// <param name="run"><see cref="RunBytes"/> bytes.</param>
    public abstract void PackRun(
        ReadOnlySpan<byte> codes, ReadOnlySpan<float> scales, ReadOnlySpan<float> offsets, ReadOnlySpan<float> units, byte* run);

    /// <summary>Writes the codes of a chunk.</summary>
    /// <param name="codes">[512], a byte each, in the order of <see cref="ICodeLayout"/>.</param>
    /// <param name="at">Where the codes of the chunk begin.</param>
    public abstract void PackCodes(byte* codes, byte* at);

    /// <summary>In which order <see cref="Multiply"/> wants the numbers of an input with so many tokens; null where it makes them itself.</summary>
    internal abstract InputGroups? NumbersOf(int tokens);

    /// <summary>Makes of an input with codes what all workers read of it: once before <see cref="Multiply"/>, by one thread.</summary>
    public void Prepare(Activation x, WorkerPool pool)
    {
        if (NumbersOf(x.Tokens) is { } groups) x.MakeNumbers(pool, groups);
    }

    /// <summary>Writes columns [16 fromTile, 16 toTile) of y = x Wᵀ, y being [tokens, rows].</summary>
    public abstract void Multiply(PackedMatrix w, Activation x, float* y, int fromTile, int toTile);

    /// <summary>Writes weights, rounded to bfloat16, as pairs of neighbouring columns.</summary>
    /// <param name="run">Where a run of a tile begins.</param>
    /// <param name="chunks">From there on.</param>
    /// <param name="pairs">[chunks, 16 pairs, 32 rows], of which the tile's are the first 16.</param>
    public abstract void UnpackPairs(byte* run, int chunks, uint* pairs);

    /// <summary>The kernel for a format on this processor.</summary>
    public static PackedKernel For(Format format)
    {
        PackedKernel kernel =
            VnniDot.IsSupported ? WithDot<VnniDot>(format) : Avx2Dot.IsSupported ? WithDot<Avx2Dot>(format) : WithDot<PortableDot>(format);
        if (Generated.WideTile.IsInUse)
        {
            var known = new WideTile?[WideTileCode.MostTokens + 1, WideTileCode.MostTiles + 1];
            PackedShape shape = kernel.Shape;
            kernel.WideTile = (tokens, tiles) => known[tokens, tiles] ??= Generated.WideTile.For(shape, tokens, tiles);
        }
        return kernel;
    }

    /// <summary>The kernel for a format on a named instruction set, for tests.</summary>
    public static PackedKernel WithDot<TDot>(Format format) where TDot : struct, IIntegerDot => format.Levels.Length switch
    {
        0 or > 64 => WithBytes<TDot, Bits8>(format),
        <= 4 when IsRun(format.Levels) => WithCodes<TDot, Bits2>(format),
        <= 8 when IsRun(format.Levels) => WithCodes<TDot, Bits3>(format),
        <= 16 when IsRun(format.Levels) => WithCodes<TDot, Bits4>(format),
        <= 8 => WithBytes<TDot, Table<Bits3>>(format),
        <= 16 => WithBytes<TDot, Table<Bits4>>(format),
        <= 32 when IsRun(format.Levels) => WithCodes<TDot, Bits5>(format),
        _ when IsRun(format.Levels) => WithCodes<TDot, Bits6>(format),
        _ => WithBytes<TDot, Bits8>(format),
    };

    private static PackedKernel WithBytes<TDot, TCodes>(Format format) where TDot : struct, IIntegerDot where TCodes : struct, ICodeLayout =>
        typeof(TDot) == typeof(Avx2Dot) ? WithCodes<Avx2ByteDot, TCodes>(format) : WithCodes<TDot, TCodes>(format);

    private static PackedKernel WithCodes<TDot, TCodes>(Format format) where TDot : struct, IIntegerDot where TCodes : struct, ICodeLayout =>
        format.HasZeroPoints && format.Group >= Activation.Chunk ? new PackedKernel<TDot, TCodes, Half16, ScaleZeroPointOf32>(format)
        : format is { HasUnits: true, HasOffsets: true, Group: 16 } ? new PackedKernel<TDot, TCodes, UnitNibble, ScaleOffsetOf16>(format)
        : format.HasUnits ? WithNumber<TDot, TCodes, UnitByte>(format)
        : format is { HalfScales: true, HasOffsets: false, Group: StretchChunks * Activation.Chunk } ? new PackedKernel<TDot, TCodes, UnitOne, ScaleOf32>(format)
        : format.PowerScales ? new PackedKernel<TDot, TCodes, Exponent8, ScaleOf32>(format)
        : format.Float8Scales ? WithNumber<TDot, TCodes, HalfUpper8>(format)
        : format.HalfScales ? WithNumber<TDot, TCodes, Half16>(format) : WithNumber<TDot, TCodes, Single32>(format);

    private static PackedKernel WithNumber<TDot, TCodes, TNumber>(Format format)
        where TDot : struct, IIntegerDot where TCodes : struct, ICodeLayout where TNumber : struct, IScaleNumber =>
        (format.Group < Activation.Chunk, format.HasOffsets) switch
        {
            (false, false) => new PackedKernel<TDot, TCodes, TNumber, ScaleOf32>(format),
            (false, true) => new PackedKernel<TDot, TCodes, TNumber, ScaleOffsetOf32>(format),
            (true, false) => new PackedKernel<TDot, TCodes, TNumber, ScaleOf16>(format),
            (true, true) => new PackedKernel<TDot, TCodes, TNumber, ScaleOffsetOf16>(format),
        };

    /// <summary>The level of code 0 where codes are levels less that, or null where they are places in the format's list of levels.</summary>
    /// <param name="format">A format with an integer form.</param>
    internal static sbyte? FirstLevel(Format format)
    {
        ReadOnlySpan<sbyte> levels = format.Levels;
        if (levels.Length is > 0 and <= 16 && !IsRun(levels)) return null;
        return IsRun(levels) && levels.Length <= 64 ? levels[0] : sbyte.MinValue;
    }

    /// <summary>True if codes are levels less the first: consecutive integers, or -1 and 1, which two bits tell apart as well.</summary>
    protected static bool IsRun(ReadOnlySpan<sbyte> levels) => levels.Length > 0 && (levels[^1] - levels[0] == levels.Length - 1 || levels[^1] - levels[0] < 4);
}
