using System.Numerics.Tensors;
using Nibble.Core.Formats;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;

namespace Nibble.Core.Kernels;

/// <summary>
/// The keys and values of one layer, rows of any format: [head, slot, size]. Position p lies in slot p modulo
/// <see cref="Slots"/>, so a layer that looks back over a window needs no more slots than the window and a batch. Rows may
/// be stored rotated (<see cref="Hadamard"/>), which <see cref="Attention"/> then takes back.
/// </summary>
public sealed unsafe class KeyValueRows : IDisposable
{
    private readonly NativeBuffer _keys;
    private readonly NativeBuffer? _values;

    /// <param name="format">Of keys and values; its block divides both.</param>
    /// <param name="heads">Heads of keys.</param>
    /// <param name="slots">Positions that are kept.</param>
    /// <param name="keySize">Numbers of a key.</param>
    /// <param name="valueSize">Numbers of a value; 0 if a value is the beginning of its key (latent attention).</param>
    /// <param name="rotation">Columns that a Hadamard rotation mixes before rows are stored; 0 stores them as they are.</param>
    public KeyValueRows(Format format, int heads, int slots, int keySize, int valueSize, int rotation = 0)
    {
        KeyFormat = format.ForColumns(keySize);
        KeyBytes = (nint)KeyFormat.RowBytes(keySize);
        // Generated code reads keys in groups, of which the last may end beyond the last slot.
        _keys = new NativeBuffer(KeyBytes * ((nint)heads * slots + WideAttention.KeysOf(1)), clear: false);
        if (valueSize > 0)
        {
            ValueFormat = format.ForColumns(valueSize);
            ValueBytes = (nint)ValueFormat.RowBytes(valueSize);
            _values = new NativeBuffer(ValueBytes * heads * slots, clear: false);
        }
        (Heads, Slots, KeySize, ValueSize, Rotation) = (heads, slots, keySize, valueSize, rotation);
    }

    /// <summary>The float format that attention reads fastest: F16 where generated code widens it on the way (AVX-512), else F32.</summary>
    public static Format Fastest => WideSoftmax.Instance is null ? FloatFormat.F32 : FloatFormat.F16;

    public int Heads { get; }
    public int Slots { get; }
    public int KeySize { get; }
    public int ValueSize { get; }

    /// <summary>The block of the rotation that rows are stored in; 0 is none.</summary>
    public int Rotation { get; }

    public long Bytes => (long)Heads * Slots * (KeyBytes + ValueBytes);

    internal Format KeyFormat { get; }
    internal Format? ValueFormat { get; }
    internal nint KeyBytes { get; }
    internal nint ValueBytes { get; }

    /// <summary>Stores a head's key and value of one position; numbers beyond what F16 can hold become its largest, 65,504.</summary>
    public void Store(int head, int position, ReadOnlySpan<float> key, ReadOnlySpan<float> value)
    {
        nint row = (nint)head * Slots + position % Slots;
        Store(KeyFormat, _keys.Pointer + row * KeyBytes, KeyBytes, key);
        if (ValueFormat is not null) Store(ValueFormat, _values!.Pointer + row * ValueBytes, ValueBytes, value);
    }

    /// <summary>Where a key is stored.</summary>
    internal byte* Key(int head, int slot) => _keys.Pointer + ((nint)head * Slots + slot) * KeyBytes;

    internal byte* Value(int head, int slot) => _values!.Pointer + ((nint)head * Slots + slot) * ValueBytes;

    /// <summary>Rows of keys from a slot on: in place where they are float32, else decoded into the scratch.</summary>
    internal float* Keys(int head, int slot, int count, float* scratch) =>
        Read(KeyFormat, Key(head, slot), KeyBytes, count, KeySize, scratch);

    internal float* Values(int head, int slot, int count, float* scratch) =>
        Read(ValueFormat!, Value(head, slot), ValueBytes, count, ValueSize, scratch);

    /// <summary>True if keys and values can be read as pairs of bfloat16, to which they are rounded then.</summary>
    internal bool HavePairs => MayHavePairs(KeyFormat) && ValueSize > 0 && KeySize % (2 * NumberPairs.Lanes) == 0 && ValueSize % NumberPairs.Lanes == 0;

    /// <summary>True if keys and values of usual sizes, stored so, can be read as pairs of bfloat16 here.</summary>
    public static bool MayHavePairs(Format format) => format == FloatFormat.F16 && NumberPairs.AreMultiplied;

    /// <summary>Writes rows of keys from a slot on: [rows, key size / 2], a pair being two neighbouring numbers.</summary>
    internal void JoinKeys(int head, int slot, int count, uint* pairs) =>
        NumberPairs.OfHalves!.JoinNeighbours(Key(head, slot), count * KeySize, pairs);

    /// <summary>Writes rows of values from a slot on: [rows / 2, value size], a pair being numbers of two rows; a last row without a next is paired with itself.</summary>
    internal void JoinValues(int head, int slot, int count, uint* pairs) =>
        NumberPairs.OfHalves!.JoinRows(Value(head, slot), ValueSize, count, pairs);

    /// <summary>Asks memory for rows: a head's are few, and too far from those of the next for the processor to read ahead.</summary>
    internal void Ask(int head, int slot, int count)
    {
        nint row = (nint)head * Slots + slot;
        CacheLines.Ask(_keys.Pointer + row * KeyBytes, count * KeyBytes);
        if (_values is not null) CacheLines.Ask(_values.Pointer + row * ValueBytes, count * ValueBytes);
    }

    private void Store(Format format, byte* to, nint bytes, ReadOnlySpan<float> row)
    {
        if (Rotation > 0)
        {
            Span<float> rotated = stackalloc float[row.Length];
            row.CopyTo(rotated);
            Hadamard.Rotate(rotated, Rotation);
            Encode(format, to, bytes, rotated);
        }
        else
        {
            Encode(format, to, bytes, row);
        }
    }

    private static void Encode(Format format, byte* to, nint bytes, ReadOnlySpan<float> row)
    {
        if (format == FloatFormat.F32) row.CopyTo(new Span<float>(to, row.Length));
        else if (format == FloatFormat.F16) EncodeHalves(to, row);
        else format.Encode(row, default, new Span<byte>(to, (int)bytes));
    }

    /// <summary>What F16 cannot hold becomes the largest that it can: an infinite key would leave no number of a row's scores.</summary>
    private static void EncodeHalves(byte* to, ReadOnlySpan<float> row)
    {
        Span<float> bounded = stackalloc float[row.Length];
        TensorPrimitives.Clamp(row, (float)Half.MinValue, (float)Half.MaxValue, bounded);
        TensorPrimitives.ConvertToHalf(bounded, new Span<Half>(to, row.Length));
    }

    private static float* Read(Format format, byte* from, nint bytes, int count, int size, float* scratch)
    {
        if (format == FloatFormat.F32) return (float*)from;
        if (format == FloatFormat.F16 && HalfNumbers.Instance is { } halves) halves.Widen((Half*)from, scratch, count * size);
        else format.Decode(new ReadOnlySpan<byte>(from, checked((int)(bytes * count))), new Span<float>(scratch, count * size));
        return scratch;
    }

    public void Dispose()
    {
        _keys.Dispose();
        _values?.Dispose();
    }
}
