using System.Buffers;
using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Threading;

namespace Nibble.Core.Memory;

/// <summary>
/// A matrix in any format, in mapped or native memory, reached by rows: a span cannot pass 2 GiB, a tensor may.
/// The weight keeps its memory's owner alive.
/// </summary>
public sealed unsafe class Weight : IWeightSource
{
    /// <summary>Bytes that are copied at once: a share of the second cache, in which what they are packed into needs room too.</summary>
    private const nint StretchBytes = 256 << 10;

    /// <summary>Bytes of a matrix in which rows are looked up one by one: less is soon mapped, and at once from then on.</summary>
    private const long LeastLookedUp = 16 << 20;

    /// <summary>Bytes behind the last row that a kernel may read, and not use.</summary>
    private const nint ReadBehind = 64;

    [ThreadStatic] private static GrowingBuffer? t_rows;

    private readonly object? _owner;
    private readonly Weight? _asStored;
    private PackedMatrix? _packed;
    private LevelMatrix? _levels;
    private LevelTiles? _levelTiles;
    private VectorTiles? _vectorTiles;
    private bool _hasNoFloatTiles, _wasMultiplied;

    /// <param name="name">The tensor's name, for messages.</param>
    /// <param name="format">Bound to the columns, with its shared table.</param>
    /// <param name="rows">Output features.</param>
    /// <param name="columns">Input features.</param>
    /// <param name="data">The first byte of row 0; rows follow each other without gaps.</param>
    /// <param name="owner">Whatever must live as long as the memory.</param>
    public Weight(string name, Format format, int rows, int columns, byte* data, object? owner)
    {
        Name = name;
        Format = format.ForColumns(columns);
        Rows = rows;
        Columns = columns;
        Data = data;
        RowBytes = (nint)Format.RowBytes(columns);
        _owner = owner;
        if (Format is RotatedFormat rotated) _asStored = new Weight(name, rotated.Inner, rows, columns, data, owner);
    }

    private Weight(Weight stored, int[] order) : this(stored.Name, stored.Format, stored.Rows, stored.Columns, stored.Data, stored._owner) =>
        (_asStored, ColumnOrder) = (stored, order);

    /// <summary>A new matrix of zeros in native memory.</summary>
    public static Weight Allocate(string name, Format format, int rows, int columns)
    {
        Format bound = format.ForColumns(columns);
        var buffer = new NativeBuffer((nint)(bound.RowBytes(columns) * rows));
        return new Weight(name, bound, rows, columns, buffer.Pointer, buffer);
    }

    public string Name { get; }
    public Format Format { get; }
    public int Rows { get; }
    public int Columns { get; }
    public nint RowBytes { get; }
    public byte* Data { get; }
    public long Bytes => (long)RowBytes * Rows;

    /// <summary>Whether it lies in a file.</summary>
    internal bool IsMapped => _owner is IMappedMemory;

    /// <summary>
    /// The column that each stored column is, where a method stored them in another order (GPTQ's act-order, whose groups
    /// are then contiguous); null where they lie as the input does. A product takes its input in this order.
    /// </summary>
    public int[]? ColumnOrder { get; }

    /// <summary>The matrix as it lies, whatever its columns mean: in their order there, and rotated where its format rotates them.</summary>
    public Weight AsStored => _asStored ?? this;

    /// <summary>The weight whose stored columns are those of the input that <paramref name="order"/> lists.</summary>
    public Weight WithColumnOrder(int[] order) => new(AsStored, order);

    /// <summary>The stored bytes of one row.</summary>
    public Span<byte> Row(int row)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)row, (uint)Rows);
        return new Span<byte>(Data + row * RowBytes, checked((int)RowBytes));
    }

    public void ReadRow(int row, Span<float> weights) => Decode(Row(row), weights);

    /// <summary>
    /// The same for whoever wants few of many rows: those of a large matrix in a file are read from there, for with a page the
    /// system may map megabytes.
    /// </summary>
    /// <exception cref="UnusableInputException">The file has become shorter, or cannot be read.</exception>
    public void LookUp(int row, Span<float> weights)
    {
        Span<byte> stored = Row(row);
        Decode(_owner is IMappedMemory mapped && Bytes >= LeastLookedUp ? new Span<byte>(Read(mapped, row, 1), stored.Length) : stored, weights);
    }

    private void Decode(ReadOnlySpan<byte> row, Span<float> weights)
    {
        if (ColumnOrder is not { } order)
        {
            Format.Decode(row, weights[..Columns]);
            return;
        }
        float[] stored = ArrayPool<float>.Shared.Rent(Columns);
        Format.Decode(row, stored.AsSpan(0, Columns));
        for (int i = 0; i < order.Length; i++) weights[order[i]] = stored[i];
        ArrayPool<float>.Shared.Return(stored);
    }

    /// <summary>
    /// Rows for whoever packs them and reads each once, some at a time. Those of a mapped file are copied from the file: to map
    /// a page costs as much as to copy it where memory is the machine's own, several times that on a virtual machine whose
    /// host keeps tables of its pages, and nothing is held twice so.
    /// </summary>
    /// <param name="from">The first row.</param>
    /// <param name="to">The row after the last, or beyond the weight's own.</param>
    /// <param name="multiple">What each stretch but the last is a multiple of.</param>
    /// <returns>The first row of each stretch, the row after its last, and its <see cref="Window"/>.</returns>
    /// <exception cref="UnusableInputException">The file has become shorter, or cannot be read.</exception>
    internal IEnumerable<(int From, int To, Weight Rows)> Stretches(int from, int to, int multiple)
    {
        int most = StretchRows(multiple);
        to = Math.Min(to, Rows);
        for (int first = from; first < to; first += most)
        {
            int end = Math.Min(first + most, to);
            yield return (first, end, Window(first, end - first));
        }
    }

    /// <summary>Rows that are copied at once, a multiple.</summary>
    internal int StretchRows(int multiple) => (int)Math.Max(1, StretchBytes / (RowBytes * multiple)) * multiple;

    /// <summary>
    /// The weight, of which only some rows may be read, and if it lies in a mapped file until the thread asks for others: these are copied
    /// to the thread's buffer.
    /// </summary>
    /// <exception cref="UnusableInputException">The file has become shorter, or cannot be read.</exception>
    internal Weight Window(int first, int rows) => _owner is not IMappedMemory mapped ? this
        : new Weight(Name, Format, Rows, Columns, Read(mapped, first, rows) - first * RowBytes, t_rows);

    /// <summary>Rows of the file, in the thread's buffer.</summary>
    private byte* Read(IMappedMemory mapped, int first, int rows)
    {
        nint bytes = rows * RowBytes;
        GrowingBuffer buffer = t_rows ??= new GrowingBuffer();
        buffer.Reserve(bytes + ReadBehind);
        mapped.Read(Data + first * RowBytes, new Span<byte>(buffer.Pointer, checked((int)bytes)));
        return buffer.Pointer;
    }

    /// <summary>
    /// Whether a product of the weight as it is stored shall read <see cref="Stretches"/>: the first one of a mapped file, for which
    /// to map pages takes longer than all else. Whoever multiplies again and again is better off with pages that are mapped once.
    /// </summary>
    internal bool IsMultipliedFirst() => IsMapped && !Interlocked.Exchange(ref _wasMultiplied, true);

    /// <summary>Tells the owner of the memory that rows will hardly be read again, now that they are packed.</summary>
    internal void DoneWith(int firstRow, int rows) => (_owner as IMappedMemory)?.DoneWith(Data + firstRow * RowBytes, rows * RowBytes);

    /// <summary>The weight in the kernels' layout, made at the first call.</summary>
    internal PackedMatrix Packed(WorkerPool pool) => _packed ??= PackedMatrix.Pack(this, pool);

    /// <summary>The weight as the look-up kernel wants it, made at the first call.</summary>
    internal LevelMatrix PackedLevels(WorkerPool pool) => _levels ??= LevelMatrix.Pack(this, pool);

    /// <summary>The same where all its codes look up in one table.</summary>
    internal LevelTiles PackedLevelTiles(WorkerPool pool) => _levelTiles ??= LevelTiles.Pack(this, pool);

    /// <summary>The same where codes of bytes are vectors.</summary>
    internal VectorTiles PackedVectorTiles(WorkerPool pool) => _vectorTiles ??= VectorTiles.Pack(this, pool);

    /// <summary>The weight in 12 bits a number, if it was packed so: products of bfloat16 then read that.</summary>
    public FloatTiles? FloatTiles { get; private set; }

    /// <summary>Bytes that one token's product reads: those of the tiles of codes or floats that are held, else those that are stored, which other forms are as large as.</summary>
    public long BytesHeld => AsStored._packed is { IsStreamed: false } packed ? packed.Bytes : FloatTiles?.Bytes ?? Bytes;

    /// <summary>Makes <see cref="FloatTiles"/> if they are not there and the numbers allow it. The numbers must not change after that.</summary>
    public void PackFloats(WorkerPool pool)
    {
        if (FloatTiles is not null || _hasNoFloatTiles || !FloatTiles.CanPack(this)) return;
        FloatTiles = FloatTiles.Pack(this, pool);
        _hasNoFloatTiles = FloatTiles is null;
    }

    /// <summary>What a product reads of it: the packed tiles, or floats as they are stored; none where it is neither, or not yet packed.</summary>
    public MemoryRange Range => AsStored._packed?.Range ?? FloatTiles?.Range ?? (Format is FloatFormat ? new((nint)Data, RowBytes, Rows) : default);

    /// <summary>Some of the rows, as a weight that shares the memory (one expert of many, one part of a fused tensor).</summary>
    public Weight Slice(string name, int firstRow, int rows)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)(firstRow + rows), (uint)Rows);
        var slice = new Weight(name, Format, rows, Columns, Data + firstRow * RowBytes, _owner);
        return ColumnOrder is { } order ? slice.WithColumnOrder(order) : slice;
    }
}

/// <summary>The owner of memory that lies in a file as well: what is let go of can be read again.</summary>
public unsafe interface IMappedMemory
{
    /// <summary>Copies bytes from the file, without touching the memory at <paramref name="address"/> that they are mapped to.</summary>
    /// <exception cref="UnusableInputException">The file has become shorter, or cannot be read.</exception>
    void Read(byte* address, Span<byte> into);

    /// <summary>The process need not hold these bytes any longer.</summary>
    void DoneWith(byte* address, nint bytes);
}
