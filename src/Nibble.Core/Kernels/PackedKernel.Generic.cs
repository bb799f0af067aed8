using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Nibble.Core.Formats;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;

namespace Nibble.Core.Kernels;

/// <summary>The integer kernel, compiled once for each layout and instruction set.</summary>
internal sealed unsafe partial class PackedKernel<TDot, TCodes, TNumber, TShape> : PackedKernel
    where TDot : struct, IIntegerDot
    where TCodes : struct, ICodeLayout
    where TNumber : struct, IScaleNumber
    where TShape : struct, IScaleShape
{
    private const int Chunk = Activation.Chunk;

    /// <summary>Chunks that are unpacked at once in a product with many tokens: 16 KiB of codes stay in the first cache.</summary>
    private const int PanelChunks = 32;

    /// <summary>Tokens from which unpacking once pays.</summary>
    private const int PanelTokens = 2;

    // These are constants of each instance; the JIT compiler finds that out where it inlines them, for which it must be asked.

    private static int NumbersBytes
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => TShape.Parts * PackedMatrix.TileRows * TNumber.Size;
    }
    private static int CodesAt
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => NumbersBytes + (TShape.HasOffsets && !SharesBytes ? TShape.Parts * PackedMatrix.TileRows * OffsetSize : 0);
    }
    private static int OffsetsAt
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => SharesBytes ? 0 : NumbersBytes;
    }
    private static int OffsetSize
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => TShape.HasZeroPoints ? UnitByte.Size : TNumber.Size;
    }
    private static int ChunkBytes
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => CodesAt + 64 * TCodes.Bits;
    }

    private static bool HasUnits
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => PackedShape.HaveUnits(TNumber.Kind);
    }
    private static bool SharesBytes
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => TNumber.Kind == ScaleNumbers.HalfByteMultiples;
    }
    private static int UnitsBytes
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => !HasUnits ? 0 : (TShape.HasOffsets ? 2 : 1) * PackedMatrix.TileRows * Half16.Size;
    }

    /// <summary>Sums of a row in a chunk: one, or one for each 16 columns, because of their scales or to fit narrow lanes.</summary>
    private static int Groups
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => TShape.Parts == 2 || (TDot.IsNarrow && !TCodes.IsSmall) ? 2 : 1;
    }

    private readonly Vector256<byte> _table;

    /// <summary>What must be added to a code to give its level.</summary>
    private readonly int _zero;

    /// <summary>See <see cref="Format.ScaleFactor"/>: 1 where there are offsets.</summary>
    private readonly float _scaleFactor;

    [ThreadStatic] private static GrowingBuffer? t_scratch;

    public PackedKernel(Format format)
    {
        ReadOnlySpan<sbyte> levels = format.Levels;
        if (TCodes.IsTable) _table = TableOf(levels);
        _zero = TCodes.IsTable || typeof(TCodes) == typeof(Bits8) ? -128 : levels[0];
        _scaleFactor = format.ScaleFactor;
        for (int together = 1; together <= WideTileCode.MostTiles; together++) _mostTokens[together] = WideTileCode.MaxTokens(Shape, together);
    }

    public override int RunChunks => HasUnits ? 8 : 1;

    public override int RunBytes => UnitsBytes + RunChunks * ChunkBytes;

    public override int Parts => TShape.Parts;

    internal override PackedShape Shape => new(
        TCodes.Bits, TCodes.IsTable, TNumber.Kind, TShape.Parts, TShape.HasOffsets, TShape.HasZeroPoints, _scaleFactor);

    public override void PackRun(
        ReadOnlySpan<byte> codes, ReadOnlySpan<float> scales, ReadOnlySpan<float> offsets, ReadOnlySpan<float> units, byte* run)
    {
        for (int i = 0; i < UnitsBytes / Half16.Size; i++) ((Half*)run)[i] = (Half)(units[i] / _scaleFactor);
        int numbers = TShape.Parts * PackedMatrix.TileRows;
        fixed (byte* source = codes)
        fixed (float* s = scales, o = offsets, u = units)
            for (int c = 0; c < RunChunks; c++)
            {
                byte* chunk = run + UnitsBytes + c * ChunkBytes;
                PackNumbers(s + c * numbers, o + c * numbers, u, chunk);
                TCodes.Pack(source + c * 512, chunk + CodesAt);
            }
    }

    public override void PackCodes(byte* codes, byte* at) => TCodes.Pack(codes, at);

    /// <summary>The scales of a chunk, and its offsets or zero points.</summary>
    private void PackNumbers(float* scales, float* offsets, float* units, byte* chunk)
    {
        for (int i = 0; i < TShape.Parts * PackedMatrix.TileRows; i += 8)
        {
            float* unit = units + i % PackedMatrix.TileRows;
            Vector256<float> scale = Vector256.Load(scales + i), offset = Vector256.Load(offsets + i);
            TNumber.Store(HasUnits ? Quotient(scale, Vector256.Load(unit)) : scale / Vector256.Create(_scaleFactor), chunk + i * TNumber.Size);
            if (TShape.HasZeroPoints) UnitByte.Store(Quotient(-offset, scale), chunk + NumbersBytes + i);
            else if (TShape.HasOffsets)
                StoreOffsets(HasUnits ? Quotient(offset, Vector256.Load(unit + PackedMatrix.TileRows)) : offset, chunk + OffsetsAt + i * TNumber.Size);
        }
    }

    private static void StoreOffsets(Vector256<float> offsets, byte* at)
    {
        if (SharesBytes) UnitNibble.StoreOffsets(offsets, at);
        else TNumber.Store(offsets, at);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> LoadOffsets(byte* at) => SharesBytes ? UnitNibble.LoadOffsets(at) : TNumber.Load(at);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<short> LoadPairs(byte* at) =>
        TNumber.Size == 0 ? Vector256<short>.One : SharesBytes ? UnitNibble.LoadPairs(at) : UnitByte.LoadPairs(at);

    /// <summary>Of a run: 16 for the scales, then 16 for the offsets if there are any.</summary>
    private void LoadUnits(byte* run, float* units)
    {
        for (int i = 0; i < UnitsBytes / Half16.Size; i += 8) (Half16.LoadAny(run + i * Half16.Size) * Vector256.Create(_scaleFactor)).Store(units + i);
    }

    /// <summary>0 where the divisor is.</summary>
    private static Vector256<float> Quotient(Vector256<float> number, Vector256<float> divisor) =>
        Vector256.AndNot(number / divisor, Vector256.Equals(divisor, Vector256<float>.Zero));

    public override void Multiply(PackedMatrix w, Activation x, float* y, int fromTile, int toTile)
    {
        GrowingBuffer scratch = t_scratch ??= new GrowingBuffer();
        if (WideTile(1, 1) is not null)
        {
            MultiplyWide(w, x, y, fromTile, toTile);
            return;
        }
        if (x.Tokens < PanelTokens)
        {
            MultiplyVector(w, x, y, fromTile, toTile);
            return;
        }
        var panel = new Panel(scratch, (x.Tokens + 3) & ~3, w.Chunks);
        ArrangeInputs(x, InputCodes.Tokens, panel.Inputs);
        InputCodes.Arrange(x, panel.X);
        for (int tile = fromTile; tile < toTile; tile++)
        {
            MultiplyTile(w.Tile(tile), w.Chunks, x, panel);
            Store(panel.Sums, PackedMatrix.TileRows, x.Tokens, w, y, tile);
        }
    }

    /// <summary>For groups of so many tokens. With one token zero points are taken from the integers, else they become offsets.</summary>
    private void ArrangeInputs(Activation x, int tokens, float* inputs)
    {
        bool scaled = tokens > 1 || !TShape.HasZeroPoints;
        if (TDot.IsNarrow) InputNumbers.ArrangeNarrow<TDot>(x, tokens, Groups, _zero, scaled, inputs);
        else InputNumbers.Arrange(x, tokens, Groups, _zero + TDot.Bias, scaled, inputs);
    }

    /// <summary>Writes a tile's sums, the given numbers apart from token to token.</summary>
    private static void Store(float* sums, int apart, int tokens, PackedMatrix w, float* y, int tile)
    {
        int rows = Math.Min(PackedMatrix.TileRows, w.Rows - tile * PackedMatrix.TileRows);
        for (int token = 0; token < tokens; token++)
            new ReadOnlySpan<float>(sums + token * apart, rows)
                .CopyTo(new Span<float>(y + (nint)token * w.Rows + tile * PackedMatrix.TileRows, rows));
    }

    /// <summary>What the sums of a group begin with.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Start(float* number) => Vector256.Create(*(int*)number);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<sbyte> Broadcast(sbyte* x) => Vector256.Create(*(int*)x).AsSByte();
}
