using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>
/// Codes of 1 to 8 bits under parameters that a group of a row, a whole row, or the whole tensor shares. A block is the
/// parameters of its groups, then the codes of all of them in one dense run (<see cref="BitPacking"/>); the parameters of
/// a tensor are its shared table instead.
/// </summary>
public abstract class GroupedFormat : Format
{
    private const int SuperBlock = 256;
    private readonly ReadOnlyMemory<byte> _shared;
    private readonly int _parameterBytes;

    /// <param name="bits">Bits a code, 1 to 8.</param>
    /// <param name="granularity">Which weights share parameters.</param>
    /// <param name="scale">How scales are stored.</param>
    /// <param name="columns">The row's length, or 0 while unbound.</param>
    /// <param name="shared">The tensor's parameters, or empty.</param>
    /// <param name="parameterBytes">Bytes of the parameters of so many groups.</param>
    protected GroupedFormat(int bits, Granularity granularity, ScaleType scale, int columns, ReadOnlyMemory<byte> shared, Func<int, int> parameterBytes)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(bits is >= 1 and <= 8, true);
        if (scale.IsDouble() && granularity.Reach != Reach.Group)
            throw new ArgumentException("8-bit scales need groups: a row or a tensor has but one scale", nameof(scale));
        if (scale == ScaleType.Byte && SuperBlock % granularity.Size != 0)
            throw new ArgumentException($"8-bit scales for {SuperBlock} weights need a group that divides {SuperBlock}", nameof(scale));
        Bits = bits;
        Granularity = granularity;
        Scale = scale;
        Columns = columns;
        _shared = shared;
        BlockSize = granularity.Reach != Reach.Group || scale == ScaleType.ByteRow ? columns
            : scale == ScaleType.Byte ? SuperBlock : granularity.Size;
        GroupSize = granularity.Reach == Reach.Group ? granularity.Size : columns;
        Groups = granularity.Reach == Reach.Group ? BlockSize / GroupSize : 1;
        _parameterBytes = parameterBytes(Groups);
        InBlock = granularity.Reach == Reach.Tensor ? 0 : _parameterBytes;
        BlockBytes = InBlock + BitPacking.Bytes(BlockSize, bits);
    }

    /// <summary>What a name says nothing of.</summary>
    protected static readonly Granularity DefaultGranularity = Granularity.Group(64);

    /// <summary>Bits a code.</summary>
    public int Bits { get; }
    public Granularity Granularity { get; }
    public ScaleType Scale { get; }

    /// <summary>Weights that share parameters.</summary>
    public int GroupSize { get; }
    public sealed override int BlockSize { get; }
    public sealed override int BlockBytes { get; }

    /// <summary>Bytes of parameters in a block.</summary>
    private int InBlock { get; }

    /// <summary>The row's length, or 0 while unbound.</summary>
    protected int Columns { get; }

    /// <summary>Groups a block; 1 where a row or a tensor is one.</summary>
    protected int Groups { get; }

    /// <summary>The same format for rows of another length, with another shared table.</summary>
    protected abstract GroupedFormat Bind(int columns, ReadOnlyMemory<byte> shared);

    /// <summary>Chooses and writes the parameters of a block's groups.</summary>
    protected abstract void FitGroups(ReadOnlySpan<float> weights, in FitOptions options, Span<byte> parameters);

    /// <summary>Nearest codes, one a byte, of weights that belong to one group.</summary>
    protected abstract void Quantize(ReadOnlySpan<byte> parameters, int group, ReadOnlySpan<float> weights, Span<byte> codes);

    /// <summary>The weights of codes, one a byte, that belong to one group.</summary>
    protected abstract void Dequantize(ReadOnlySpan<byte> parameters, int group, ReadOnlySpan<byte> codes, Span<float> weights);

    /// <summary>The same for codes of 4 bits, two a byte; a multiple of 32 weights.</summary>
    protected abstract void DequantizeNibbles(ReadOnlySpan<byte> parameters, int group, ReadOnlySpan<byte> packed, Span<float> weights);

    /// <summary>The interval for a group's weights: by the rule that is named, else by search or by the extremes.</summary>
    protected static (float Low, float High) ChooseRange(ReadOnlySpan<float> weights, in FitOptions options, IQuantizerLevels levels, bool searched) =>
        options.Range is { } range ? range.Choose(weights, options.Importance, levels)
        : searched ? levels.LeastSquares(weights, options.Importance)
        : RangeSearch.Extremes(weights, levels);

    public sealed override ReadOnlyMemory<byte> Shared => _shared;

    public sealed override Format ForColumns(int columns) =>
        columns == Columns || (Granularity.Reach == Reach.Group && Scale != ScaleType.ByteRow) ? this : Bind(columns, _shared);

    public sealed override long SharedBytes => Granularity.Reach == Reach.Tensor ? _parameterBytes : 0;

    public sealed override Format WithShared(ReadOnlyMemory<byte> shared)
    {
        if (shared.Length != SharedBytes)
            throw new UnusableInputException($"{Name} shares {SharedBytes} bytes in a tensor, not {shared.Length}");
        return SharedBytes == 0 ? this : Bind(Columns, shared);
    }

    public sealed override Format Learn(IWeightSource source, LearnOptions options)
    {
        if (Granularity.Reach != Reach.Tensor) return this;
        (float[] weights, float[] importance) = TensorSample.Of(source, options.Importance.Span);
        var parameters = new byte[_parameterBytes];
        FitGroups(weights, new FitOptions { Importance = importance, Range = options.Range }, parameters);
        return Bind(source.Columns, parameters);
    }

    public sealed override void Fit(ReadOnlySpan<float> weights, in FitOptions options, Span<byte> block)
    {
        if (Granularity.Reach != Reach.Tensor) FitGroups(weights, options, block[..InBlock]);
    }

    public sealed override void Put(Span<byte> block, int at, ReadOnlySpan<float> weights, Span<float> rounded)
    {
        ReadOnlySpan<byte> parameters = Parameters(block);
        Span<byte> code = stackalloc byte[1];
        Quantize(parameters, at / GroupSize, weights[..1], code);
        BitPacking.Write(block[InBlock..], at, Bits, code[0]);
        Dequantize(parameters, at / GroupSize, code, rounded[..1]);
    }

    public sealed override void Encode(ReadOnlySpan<float> row, in FitOptions options, Span<byte> bytes)
    {
        int blockBytes = BlockBytes, blocks = Math.Max(1, GroupLanes.Lanes / Groups), columns = blocks * BlockSize;
        for (int from = 0; from < row.Length; from += columns, bytes = bytes[(blocks * blockBytes)..])
        {
            if (from + columns > row.Length) (columns, blocks) = (row.Length - from, (row.Length - from) / BlockSize);
            ReadOnlySpan<float> weights = row.Slice(from, columns);
            if (Granularity.Reach != Reach.Tensor) FitBlocks(weights, options.Slice(from, columns), bytes);
            for (int b = 0; b < blocks; b++)
                EncodeCodes(Parameters(bytes[(b * blockBytes)..]), weights.Slice(b * BlockSize, BlockSize), bytes.Slice(b * blockBytes + InBlock, blockBytes - InBlock));
        }
    }

    /// <summary>Chooses and writes the parameters of a few blocks that follow each other.</summary>
    protected virtual void FitBlocks(ReadOnlySpan<float> weights, in FitOptions options, Span<byte> blocks)
    {
        for (int at = 0; at < weights.Length; at += BlockSize, blocks = blocks[BlockBytes..])
            Fit(weights.Slice(at, BlockSize), options.Slice(at, BlockSize), blocks[..BlockBytes]);
    }

    public sealed override void Decode(ReadOnlySpan<byte> bytes, Span<float> weights)
    {
        int blockSize = BlockSize, blockBytes = BlockBytes, inBlock = InBlock;
        bool nibbles = Bits == 4 && GroupSize % 32 == 0 && Vector256.IsHardwareAccelerated;
        for (int at = 0; at < weights.Length; at += blockSize, bytes = bytes[blockBytes..])
        {
            ReadOnlySpan<byte> parameters = Parameters(bytes), packed = bytes[inBlock..blockBytes];
            if (!nibbles) DecodeCodes(parameters, packed, weights.Slice(at, blockSize));
            else
                for (int g = 0, from = 0; from < blockSize; g++, from += GroupSize)
                    DequantizeNibbles(parameters, g, packed.Slice(from / 2, GroupSize / 2), weights.Slice(at + from, GroupSize));
        }
    }

    /// <summary>The parameters of a block: its first bytes, or the tensor's table.</summary>
    protected ReadOnlySpan<byte> Parameters(ReadOnlySpan<byte> block)
    {
        if (Granularity.Reach != Reach.Tensor) return block[..InBlock];
        return _shared.Length > 0 ? _shared.Span : throw new InvalidOperationException($"{Name} has learned no range of this tensor.");
    }

    /// <summary>The packed codes of a block.</summary>
    protected ReadOnlySpan<byte> Codes(ReadOnlySpan<byte> block) => block[InBlock..BlockBytes];

    /// <summary>Weights in one group of <see cref="Format.Unpack"/>.</summary>
    protected int IntegerGroup => Granularity.Reach != Reach.Group ? PieceOf(BlockSize) : GroupSize % 8 == 0 ? GroupSize : 0;

    /// <summary>True if the look-up kernel finds its whole stretches of 64 columns under one scale.</summary>
    protected bool HasWholeStretches => (Granularity.Reach != Reach.Group || GroupSize % 64 == 0) && BlockSize % 64 == 0;

    /// <summary>The pieces that a row under one scale is cut in for the integer kernels; 0 if it cannot be.</summary>
    internal static int PieceOf(int columns)
    {
        foreach (int size in (ReadOnlySpan<int>)[256, 128, 64, 32, 16, 8])
            if (columns % size == 0) return size;
        return 0;
    }

    public sealed override int CodeCount => 1 << Bits;

    public sealed override void ReadCodes(ReadOnlySpan<byte> block, Span<ushort> codes)
    {
        ReadOnlySpan<byte> packed = Codes(block);
        for (int i = 0; i < BlockSize; i++) codes[i] = (ushort)BitPacking.Read(packed, i, Bits);
    }

    /// <summary>The codes of a block, one a byte.</summary>
    protected void UnpackCodes(ReadOnlySpan<byte> block, Span<sbyte> codes) =>
        BitPacking.Unpack(Codes(block), Bits, MemoryMarshal.AsBytes(codes[..BlockSize]));

    /// <summary>Runs of codes that are handled one a byte, in the first cache: a multiple of 8, so that each run is whole bytes.</summary>
    private const int Run = 256;

    [SkipLocalsInit]
    private void EncodeCodes(ReadOnlySpan<byte> parameters, ReadOnlySpan<float> weights, Span<byte> packed)
    {
        Span<byte> codes = stackalloc byte[Run];
        for (int from = 0; from < weights.Length; from += Run)
        {
            int count = Math.Min(Run, weights.Length - from);
            for (int at = 0; at < count;)
            {
                (int group, int length) = GroupAt(from + at, count - at);
                Quantize(parameters, group, weights.Slice(from + at, length), codes.Slice(at, length));
                at += length;
            }
            BitPacking.Pack(codes[..count], Bits, packed.Slice(from / 8 * Bits, BitPacking.Bytes(count, Bits)));
        }
    }

    [SkipLocalsInit]
    private void DecodeCodes(ReadOnlySpan<byte> parameters, ReadOnlySpan<byte> packed, Span<float> weights)
    {
        Span<byte> codes = stackalloc byte[Run];
        for (int from = 0; from < weights.Length; from += Run)
        {
            int count = Math.Min(Run, weights.Length - from);
            BitPacking.Unpack(packed[(from / 8 * Bits)..], Bits, codes[..count]);
            for (int at = 0; at < count;)
            {
                (int group, int length) = GroupAt(from + at, count - at);
                Dequantize(parameters, group, codes.Slice(at, length), weights.Slice(from + at, length));
                at += length;
            }
        }
    }

    /// <summary>The group of a place in the block, and how many of the next weights belong to it.</summary>
    private (int Group, int Length) GroupAt(int at, int most)
    {
        int group = at / GroupSize;
        return (group, Math.Min(most, (group + 1) * GroupSize - at));
    }
}
