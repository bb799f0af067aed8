using System.Buffers;
using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;
using System.Text;
using Nibble.Core;

namespace Nibble.Files.Gguf;

/// <summary>Writes a GGUF file of version 3.</summary>
public sealed class GgufWriter : TensorWriter
{
    // llama.cpp keeps a tensor's name in 64 bytes, the closing zero included.
    private const int LongestName = 63;

    /// <param name="path">Where the file shall be.</param>
    /// <param name="metadata">Written in its order; <c>general.alignment</c> is obeyed.</param>
    /// <param name="tensors">In the order of their data.</param>
    /// <param name="force">Whether an existing file may be replaced.</param>
    /// <param name="resume">Whether to go on where a killed run of the same model and settings stopped.</param>
    /// <param name="final">
    /// The metadata of the finished file, asked for at the end: for a value that is known no sooner. As long as the first.
    /// </param>
    /// <exception cref="UnusableInputException">The file exists, the disk is too full, or GGUF cannot hold a tensor.</exception>
    public GgufWriter(
        string path, GgufMetadata metadata, IReadOnlyList<TensorInfo> tensors, bool force = false, bool resume = false, Func<GgufMetadata>? final = null)
        : this(path, Header(path, metadata, tensors), tensors, AlignmentOf(metadata), force, resume, final is null ? null : () => Header(path, final(), tensors)) { }

    /// <summary>The length of the file that such a writer makes.</summary>
    public static long LengthOf(string path, GgufMetadata metadata, IReadOnlyList<TensorInfo> tensors) =>
        Length(Header(path, metadata, tensors), tensors, AlignmentOf(metadata));

    private GgufWriter(string path, byte[] header, IReadOnlyList<TensorInfo> tensors, int alignment, bool force, bool resume, Func<byte[]>? final)
        : base(new OutputFile(path, force, Length(header, tensors, alignment), resume), header, tensors, alignment, final) { }

    private static int AlignmentOf(GgufMetadata metadata)
    {
        uint alignment = metadata.GetUInt32(GgufHeader.AlignmentKey, GgufHeader.DefaultAlignment);
        return BitOperations.IsPow2(alignment) && alignment <= 1 << 30 ? (int)alignment
            : throw new UnusableInputException($"{metadata.Path}: {GgufHeader.AlignmentKey} is {alignment}; it must be a power of two up to 2^30");
    }

    private static byte[] Header(string path, GgufMetadata metadata, IReadOnlyList<TensorInfo> tensors)
    {
        int alignment = AlignmentOf(metadata);
        var bytes = new ArrayBufferWriter<byte>(1 << 16);
        WriteUInt32(bytes, GgufHeader.Magic);
        WriteUInt32(bytes, GgufHeader.NewestVersion);
        WriteUInt64(bytes, (ulong)tensors.Count);
        WriteUInt64(bytes, (ulong)metadata.Count);
        foreach ((string key, object value) in metadata)
        {
            WriteString(bytes, key);
            WriteUInt32(bytes, (uint)GgufMetadata.TypeOf(value));
            WriteValue(bytes, value);
        }
        long offset = 0;
        var names = new HashSet<string>();
        foreach (TensorInfo tensor in tensors)
        {
            if (!names.Add(tensor.Name)) throw new UnusableInputException($"{path}: two tensors would be named {Quote.Name(tensor.Name)}");
            WriteTensor(path, bytes, tensor, offset);
            offset = Align(checked(offset + tensor.Bytes), alignment);
        }
        if (tensors.Count > 0) bytes.Write(new byte[Align(bytes.WrittenCount, alignment) - bytes.WrittenCount]);
        return bytes.WrittenSpan.ToArray();
    }

    private static void WriteTensor(string path, ArrayBufferWriter<byte> bytes, TensorInfo tensor, long offset)
    {
        uint type = GgmlType.NumberOf(tensor)
            ?? throw new UnusableInputException($"{path}: GGUF has no type {tensor.Type}, in which tensor {Quote.Name(tensor.Name)} shall be stored; write a folder of safetensors or choose another format");
        if (tensor.Shape.Count > GgufHeader.MostDimensions)
            throw new UnusableInputException($"{path}: tensor {Quote.Name(tensor.Name)} has {tensor.Shape.Count} dimensions; GGUF allows {GgufHeader.MostDimensions}");
        if (Encoding.UTF8.GetByteCount(tensor.Name) > LongestName)
            throw new UnusableInputException($"{path}: the name of tensor {Quote.Name(tensor.Name)} is longer than the {LongestName} bytes that llama.cpp reads");
        WriteString(bytes, tensor.Name);
        WriteUInt32(bytes, (uint)tensor.Shape.Count);
        for (int d = tensor.Shape.Count - 1; d >= 0; d--) WriteUInt64(bytes, (ulong)tensor.Shape[d]);
        WriteUInt32(bytes, type);
        WriteUInt64(bytes, (ulong)offset);
    }

    private static void WriteValue(ArrayBufferWriter<byte> bytes, object value)
    {
        switch (value)
        {
            case byte v: bytes.Write([v]); break;
            case sbyte v: bytes.Write([(byte)v]); break;
            case bool v: bytes.Write([v ? (byte)1 : (byte)0]); break;
            case ushort v: WriteNumbers<ushort>(bytes, [v]); break;
            case short v: WriteNumbers<short>(bytes, [v]); break;
            case uint v: WriteUInt32(bytes, v); break;
            case int v: WriteUInt32(bytes, (uint)v); break;
            case float v: WriteUInt32(bytes, BitConverter.SingleToUInt32Bits(v)); break;
            case ulong v: WriteUInt64(bytes, v); break;
            case long v: WriteUInt64(bytes, (ulong)v); break;
            case double v: WriteUInt64(bytes, BitConverter.DoubleToUInt64Bits(v)); break;
            case string v: WriteString(bytes, v); break;
            case Array v: WriteArray(bytes, v); break;
            default: throw new ArgumentException($"GGUF has no type for {value.GetType().Name}");
        }
    }

    private static void WriteArray(ArrayBufferWriter<byte> bytes, Array array)
    {
        GgufValueType type = GgufMetadata.ElementTypeOf(array);
        WriteUInt32(bytes, (uint)type);
        WriteUInt64(bytes, (ulong)array.Length);
        switch (type)
        {
            case GgufValueType.UInt8: WriteNumbers<byte>(bytes, (byte[])array); break;
            case GgufValueType.Int8: WriteNumbers<sbyte>(bytes, (sbyte[])array); break;
            case GgufValueType.UInt16: WriteNumbers<ushort>(bytes, (ushort[])array); break;
            case GgufValueType.Int16: WriteNumbers<short>(bytes, (short[])array); break;
            case GgufValueType.UInt32: WriteNumbers<uint>(bytes, (uint[])array); break;
            case GgufValueType.Int32: WriteNumbers<int>(bytes, (int[])array); break;
            case GgufValueType.Float32: WriteNumbers<float>(bytes, (float[])array); break;
            case GgufValueType.UInt64: WriteNumbers<ulong>(bytes, (ulong[])array); break;
            case GgufValueType.Int64: WriteNumbers<long>(bytes, (long[])array); break;
            case GgufValueType.Float64: WriteNumbers<double>(bytes, (double[])array); break;
            case GgufValueType.Bool: WriteNumbers<bool>(bytes, (bool[])array); break;
            case GgufValueType.String:
                foreach (string text in (string[])array) WriteString(bytes, text);
                break;
            case GgufValueType.Array:
                foreach (Array inner in (Array[])array) WriteArray(bytes, inner);
                break;
        }
    }

    // GGUF and every machine that .NET 10 runs on are little-endian.
    private static void WriteNumbers<T>(ArrayBufferWriter<byte> bytes, ReadOnlySpan<T> numbers) where T : unmanaged =>
        bytes.Write(MemoryMarshal.AsBytes(numbers));

    private static void WriteUInt32(ArrayBufferWriter<byte> bytes, uint value)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.GetSpan(4), value);
        bytes.Advance(4);
    }

    private static void WriteUInt64(ArrayBufferWriter<byte> bytes, ulong value)
    {
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.GetSpan(8), value);
        bytes.Advance(8);
    }

    private static void WriteString(ArrayBufferWriter<byte> bytes, string text)
    {
        WriteUInt64(bytes, (ulong)Encoding.UTF8.GetByteCount(text));
        Encoding.UTF8.GetBytes(text, bytes);
    }

    private static long Align(long position, int alignment) => (position + alignment - 1) / alignment * alignment;
}
