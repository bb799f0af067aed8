using System.Text;

namespace Nibble.Tests.Files;

/// <summary>The bytes of a GGUF file, put down one by one as the specification says, without the program's own writer.</summary>
public sealed class GgufBytes
{
    private readonly List<byte> _bytes = [];

    public static GgufBytes Header(uint version = 3, ulong tensors = 0, ulong entries = 0) =>
        new GgufBytes().Raw("GGUF"u8).U32(version).U64(tensors).U64(entries);

    public GgufBytes Raw(ReadOnlySpan<byte> bytes)
    {
        _bytes.AddRange(bytes);
        return this;
    }

    public GgufBytes U8(byte v) => Raw([v]);
    public GgufBytes U16(ushort v) => Raw(BitConverter.GetBytes(v));
    public GgufBytes U32(uint v) => Raw(BitConverter.GetBytes(v));
    public GgufBytes U64(ulong v) => Raw(BitConverter.GetBytes(v));
    public GgufBytes F32(float v) => Raw(BitConverter.GetBytes(v));
    public GgufBytes F64(double v) => Raw(BitConverter.GetBytes(v));
    public GgufBytes Text(string v) => U64((ulong)Encoding.UTF8.GetByteCount(v)).Raw(Encoding.UTF8.GetBytes(v));

    /// <summary>A key and the number of its value's type.</summary>
    public GgufBytes Key(string key, uint type) => Text(key).U32(type);

    /// <summary>A tensor's entry; dimensions innermost first, as in the file.</summary>
    public GgufBytes Tensor(string name, ulong[] dimensions, uint type, ulong offset)
    {
        Text(name).U32((uint)dimensions.Length);
        foreach (ulong n in dimensions) U64(n);
        return U32(type).U64(offset);
    }

    public GgufBytes Pad(int alignment = 32)
    {
        while (_bytes.Count % alignment != 0) U8(0);
        return this;
    }

    public byte[] ToArray() => [.. _bytes];

    /// <summary>A small valid file: every metadata type, nested arrays, four tensors, alignment 64.</summary>
    public static byte[] Valid(uint version = 3)
    {
        GgufBytes file = Header(version, tensors: 4, entries: 17)
            .Key("general.architecture", 8).Text("llama")
            .Key("general.alignment", 4).U32(64)
            .Key("a.u8", 0).U8(200)
            .Key("a.i8", 1).U8(0xFE)
            .Key("a.u16", 2).U16(65535)
            .Key("a.i16", 3).U16(0x8000)
            .Key("a.i32", 5).U32(0xFFFFFFFF)
            .Key("a.f32", 6).F32(1e-5f)
            .Key("a.bool", 7).U8(1)
            .Key("a.u64", 10).U64(ulong.MaxValue)
            .Key("a.i64", 11).U64(0x8000000000000000)
            .Key("a.f64", 12).F64(Math.PI)
            .Key("a.strings", 9).U32(8).U64(3).Text("").Text("Ġhällo").Text("▁x")
            .Key("a.floats", 9).U32(6).U64(2).F32(0.5f).U32(0x7FC00001)
            .Key("a.bools", 9).U32(7).U64(2).U8(1).U8(0)
            .Key("a.nested", 9).U32(9).U64(2).U32(4).U64(2).U32(7).U32(8).U32(8).U64(1).Text("in")
            .Key("a.empty", 9).U32(5).U64(0);
        file.Tensor("matrix", [32, 2], type: 8, offset: 0)         // Q8_0, 2 x 34 bytes
            .Tensor("vector", [5], type: 0, offset: 128)           // F32
            .Tensor("scalar", [], type: 26, offset: 192)           // I32
            .Tensor("cube", [2, 3, 4], type: 1, offset: 256)       // F16
            .Pad(64);
        for (int i = 0; i < 68; i++) file.U8((byte)(i * 3));
        file.Pad(64);
        for (int i = 0; i < 5; i++) file.F32(i);
        file.Pad(64).U32(77).Pad(64);
        for (int i = 0; i < 24; i++) file.U16((ushort)(0x3C00 + i));
        return file.Pad(64).ToArray();
    }
}
