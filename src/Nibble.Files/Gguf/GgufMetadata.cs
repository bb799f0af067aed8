using System.Collections;
using System.Globalization;
using Nibble.Core;

namespace Nibble.Files.Gguf;

/// <summary>
/// The metadata of a GGUF file: keys in order, each with a typed value. A value is held as the .NET type that is its GGUF
/// type one to one: <c>byte sbyte ushort short uint int float bool string ulong long double</c>, an array of one of these,
/// or an <c>Array[]</c> of arrays.
/// </summary>
public sealed class GgufMetadata : IEnumerable<KeyValuePair<string, object>>
{
    private readonly OrderedDictionary<string, object> _values = [];

    /// <param name="path">The file it belongs to, for messages.</param>
    public GgufMetadata(string path) => Path = path;

    /// <summary>A copy whose entries can be changed; values are shared.</summary>
    public GgufMetadata(GgufMetadata source, string path) : this(path)
    {
        foreach ((string key, object value) in source) _values.Add(key, value);
    }

    public string Path { get; }

    public int Count => _values.Count;

    public IReadOnlyList<string> Keys => _values.Keys;

    public bool Contains(string key) => _values.ContainsKey(key);

    /// <summary>The value, or null.</summary>
    public object? Find(string key) => _values.GetValueOrDefault(key);

    /// <summary>Adds or replaces a value; a replaced one keeps its place.</summary>
    /// <exception cref="ArgumentException">GGUF has no type for the value.</exception>
    public void Set(string key, object value)
    {
        ArgumentException.ThrowIfNullOrEmpty(key);
        TypeOf(value);
        _values[key] = value;
    }

    /// <summary>Removes a value; false if there was none.</summary>
    public bool Remove(string key) => _values.Remove(key);

    /// <summary>A string.</summary>
    /// <exception cref="UnusableInputException">The key is missing or of another type; so with all that follow.</exception>
    public string GetString(string key) => Get(key) as string ?? throw WrongType(key, "a string");

    public string GetString(string key, string fallback) => Contains(key) ? GetString(key) : fallback;

    public bool GetBool(string key) => Get(key) is bool value ? value : throw WrongType(key, "a boolean");

    public bool GetBool(string key, bool fallback) => Contains(key) ? GetBool(key) : fallback;

    /// <summary>An integer of any stored width, if it fits.</summary>
    public uint GetUInt32(string key) =>
        Integer(Get(key)) is { } value && value >= 0 && value <= uint.MaxValue ? (uint)value : throw WrongType(key, "an integer from 0 to 2^32 - 1");

    public uint GetUInt32(string key, uint fallback) => Contains(key) ? GetUInt32(key) : fallback;

    /// <summary>An integer of any stored width, if it fits.</summary>
    public int GetInt32(string key) =>
        Integer(Get(key)) is { } value && value >= int.MinValue && value <= int.MaxValue ? (int)value : throw WrongType(key, "an integer of 32 bits");

    public int GetInt32(string key, int fallback) => Contains(key) ? GetInt32(key) : fallback;

    /// <summary>A floating-point number of either width.</summary>
    public float GetFloat(string key) => Get(key) switch
    {
        float value => value,
        double value => (float)value,
        _ => throw WrongType(key, "a floating-point number"),
    };

    public float GetFloat(string key, float fallback) => Contains(key) ? GetFloat(key) : fallback;

    /// <summary>An array whose stored element type is exactly <typeparamref name="T"/>. Not to be written to.</summary>
    public T[] GetArray<T>(string key) => Get(key).GetType() == typeof(T[]) ? (T[])Get(key) : throw WrongType(key, $"an array of {NameOf(typeof(T[]))}");

    /// <summary>An array of integers or booleans of any stored width, or one such number, as integers.</summary>
    public long[] GetIntegers(string key)
    {
        object value = Get(key);
        // The usual one; by exact type, for to a cast uint[] and int[] are the same.
        if (value.GetType() == typeof(int[])) return Array.ConvertAll((int[])value, i => (long)i);
        IEnumerable items = value as Array ?? new[] { value };
        var integers = new List<long>();
        foreach (object item in items)
        {
            Int128 integer = item is bool b ? (b ? 1 : 0) : Integer(item) ?? throw WrongType(key, "an array of integers");
            if (integer > long.MaxValue) throw WrongType(key, "an array of integers of 63 bits");
            integers.Add((long)integer);
        }
        return [.. integers];
    }

    public IEnumerator<KeyValuePair<string, object>> GetEnumerator() => _values.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    /// <summary>The GGUF type of a value.</summary>
    /// <exception cref="ArgumentException">There is none.</exception>
    public static GgufValueType TypeOf(object value) => value switch
    {
        byte => GgufValueType.UInt8,
        sbyte => GgufValueType.Int8,
        ushort => GgufValueType.UInt16,
        short => GgufValueType.Int16,
        uint => GgufValueType.UInt32,
        int => GgufValueType.Int32,
        float => GgufValueType.Float32,
        bool => GgufValueType.Bool,
        string => GgufValueType.String,
        ulong => GgufValueType.UInt64,
        long => GgufValueType.Int64,
        double => GgufValueType.Float64,
        Array array when IsArray(array) => GgufValueType.Array,
        _ => throw new ArgumentException($"GGUF has no type for {value.GetType().Name}"),
    };

    /// <summary>The GGUF type of an array's elements.</summary>
    /// <exception cref="ArgumentException">There is none.</exception>
    public static GgufValueType ElementTypeOf(Array array)
    {
        // By exact type: to a cast, uint[] and int[] are the same.
        Type type = array.GetType();
        return type == typeof(byte[]) ? GgufValueType.UInt8
            : type == typeof(sbyte[]) ? GgufValueType.Int8
            : type == typeof(ushort[]) ? GgufValueType.UInt16
            : type == typeof(short[]) ? GgufValueType.Int16
            : type == typeof(uint[]) ? GgufValueType.UInt32
            : type == typeof(int[]) ? GgufValueType.Int32
            : type == typeof(float[]) ? GgufValueType.Float32
            : type == typeof(bool[]) ? GgufValueType.Bool
            : type == typeof(string[]) ? GgufValueType.String
            : type == typeof(ulong[]) ? GgufValueType.UInt64
            : type == typeof(long[]) ? GgufValueType.Int64
            : type == typeof(double[]) ? GgufValueType.Float64
            : type == typeof(Array[]) ? GgufValueType.Array
            : throw new ArgumentException($"GGUF has no array of {type.GetElementType()?.Name}");
    }

    private static bool IsArray(Array array) => ElementTypeOf(array) switch
    {
        GgufValueType.Array => ((Array[])array).All(IsArray),
        _ => true,
    };

    private object Get(string key) =>
        Find(key) ?? throw new UnusableInputException($"{Path}: the metadata has no key {Quote.Name(key)}");

    private UnusableInputException WrongType(string key, string wanted) =>
        new($"{Path}: the metadata key {Quote.Name(key)} holds {Shown(Get(key))}, but must hold {wanted}");

    private static Int128? Integer(object value) => value switch
    {
        byte v => v,
        sbyte v => v,
        ushort v => v,
        short v => v,
        uint v => v,
        int v => v,
        ulong v => v,
        long v => v,
        _ => null,
    };

    private static string Shown(object value) => value switch
    {
        string text => Quote.Name(text),
        Array array => $"an array of {array.Length} x {NameOf(array.GetType())}",
        _ => $"{Convert.ToString(value, CultureInfo.InvariantCulture)} ({TypeOf(value)})",
    };

    private static string NameOf(Type array) => array == typeof(Array[]) ? "array" : array.GetElementType()!.Name;
}
