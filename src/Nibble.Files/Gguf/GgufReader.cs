using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Unicode;
using Nibble.Core;

namespace Nibble.Files.Gguf;

/// <summary>
/// A place in a GGUF header that moves forward. Every read is checked against the end of the file before anything is
/// allocated, so an array of n elements costs no more than the file has bytes for.
/// </summary>
internal unsafe ref struct GgufReader(MappedFile file)
{
    // Far beyond any vocabulary: a sparse file has bytes for anything, and they cost it nothing.
    private const long LongestString = 1 << 26, LongestArray = 1 << 24;
    private const int DeepestArray = 4, ShortString = 128;

    private readonly byte* _data = file.Pointer;
    private readonly long _length = file.Length;
    private string _part = "the header";
    private string? _name;

    public long Position { get; private set; }

    public readonly long Remaining => _length - Position;

    /// <summary>Says what is being read, for messages.</summary>
    public void Enter(string part, string? name = null)
    {
        _part = part;
        _name = name;
    }

    public byte UInt8() => *Take(1);
    public ushort UInt16() => BinaryPrimitives.ReadUInt16LittleEndian(new ReadOnlySpan<byte>(Take(2), 2));
    public uint UInt32() => BinaryPrimitives.ReadUInt32LittleEndian(new ReadOnlySpan<byte>(Take(4), 4));
    public ulong UInt64() => BinaryPrimitives.ReadUInt64LittleEndian(new ReadOnlySpan<byte>(Take(8), 8));

    [SkipLocalsInit]
    public string String()
    {
        ulong length = UInt64();
        if (length > (ulong)Remaining || length > LongestString)
            throw Wrong($"a string claims {length} bytes; {Remaining} follow, and {LongestString} are allowed");
        var bytes = new ReadOnlySpan<byte>(Take((long)length), (int)length);
        if (bytes.Length > ShortString) return Utf8.IsValid(bytes) ? Encoding.UTF8.GetString(bytes) : throw Wrong("a string is not UTF-8");
        // A vocabulary has hundreds of thousands of these: checked and converted at once.
        Span<char> characters = stackalloc char[ShortString];
        return Utf8.ToUtf16(bytes, characters, out _, out int written, replaceInvalidSequences: false) == OperationStatus.Done
            ? new string(characters[..written]) : throw Wrong("a string is not UTF-8");
    }

    public object Value(uint type) => (GgufValueType)type switch
    {
        GgufValueType.UInt8 => UInt8(),
        GgufValueType.Int8 => (sbyte)UInt8(),
        GgufValueType.UInt16 => UInt16(),
        GgufValueType.Int16 => (short)UInt16(),
        GgufValueType.UInt32 => UInt32(),
        GgufValueType.Int32 => (int)UInt32(),
        GgufValueType.Float32 => BitConverter.UInt32BitsToSingle(UInt32()),
        GgufValueType.Bool => Bool(),
        GgufValueType.String => String(),
        GgufValueType.Array => Array(1),
        GgufValueType.UInt64 => UInt64(),
        GgufValueType.Int64 => (long)UInt64(),
        GgufValueType.Float64 => BitConverter.UInt64BitsToDouble(UInt64()),
        _ => throw Wrong($"the value type {type} is unknown; GGUF has 0 to 12"),
    };

    private Array Array(int depth)
    {
        if (depth > DeepestArray) throw Wrong($"arrays are nested deeper than {DeepestArray}");
        uint type = UInt32();
        ulong count = UInt64();
        switch ((GgufValueType)type)
        {
            case GgufValueType.UInt8: return Numbers<byte>(count);
            case GgufValueType.Int8: return Numbers<sbyte>(count);
            case GgufValueType.UInt16: return Numbers<ushort>(count);
            case GgufValueType.Int16: return Numbers<short>(count);
            case GgufValueType.UInt32: return Numbers<uint>(count);
            case GgufValueType.Int32: return Numbers<int>(count);
            case GgufValueType.Float32: return Numbers<float>(count);
            case GgufValueType.UInt64: return Numbers<ulong>(count);
            case GgufValueType.Int64: return Numbers<long>(count);
            case GgufValueType.Float64: return Numbers<double>(count);
            case GgufValueType.Bool:
                var flags = new bool[Count(count, 1)];
                for (int i = 0; i < flags.Length; i++) flags[i] = Bool();
                return flags;
            case GgufValueType.String:
                var strings = new string[Count(count, sizeof(ulong))];
                for (int i = 0; i < strings.Length; i++) strings[i] = String();
                return strings;
            case GgufValueType.Array:
                var arrays = new Array[Count(count, sizeof(uint) + sizeof(ulong))];
                for (int i = 0; i < arrays.Length; i++) arrays[i] = Array(depth + 1);
                return arrays;
            default:
                throw Wrong($"the array's element type {type} is unknown; GGUF has 0 to 12");
        }
    }

    private T[] Numbers<T>(ulong count) where T : unmanaged
    {
        var numbers = new T[Count(count, sizeof(T))];
        new ReadOnlySpan<T>(Take((long)numbers.Length * sizeof(T)), numbers.Length).CopyTo(numbers);
        return numbers;
    }

    /// <summary>The count, if the file has room for so many elements of at least these bytes.</summary>
    private readonly int Count(ulong count, int leastBytes) =>
        count <= (ulong)(Remaining / leastBytes) && count <= LongestArray
            ? (int)count : throw Wrong($"an array claims {count} elements; {Remaining} bytes follow, and {LongestArray} elements are allowed");

    private bool Bool() => UInt8() switch
    {
        0 => false,
        1 => true,
        byte other => throw Wrong($"a boolean is {other}; it must be 0 or 1"),
    };

    private byte* Take(long bytes)
    {
        if (bytes > Remaining) throw Wrong("the file ends in the middle; it is cut short");
        byte* at = _data + Position;
        Position += bytes;
        return at;
    }

    public readonly UnusableInputException Wrong(string what) =>
        new($"{file.Path}: {_part}{(_name is null ? "" : " " + Quote.Name(_name))}, near byte {Position}: {what}");
}
